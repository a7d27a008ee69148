//! The command line. What stands here is what `--help` says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pipeline::Override;

/// Rewrites exported ONNX models: takes KV caches out, makes dynamic shapes static, and writes what compilers
/// want beside the model.
#[derive(Debug, Parser)]
#[command(
    name = "onnx-pass",
    version,
    max_term_width = 100,
    after_help = "\
First steps:
  onnx-pass run single-shot model.onnx -o out/     rewrite with a pipeline that comes with it
  onnx-pass run my.yaml model.onnx --dry-run       see what a pipeline of yours would do
  onnx-pass show model.onnx                        see what a model is made of
  onnx-pass diff model.onnx out/model.onnx         see what was changed
  onnx-pass passes                                 what there is
  onnx-pass passes eliminate-kv-cache              what one pass does, and when it refuses

Exit code: 0 all went well, 1 refused or failed (nothing is written), 2 the arguments make no sense. `diff` has
those of diff: 0 the same, 1 not the same, 2 trouble."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline over models.
    Run(Box<RunArgs>),
    /// Show a model as text: its inputs, outputs and layers, or every node.
    Show(ShowArgs),
    /// Say what changed between two models.
    Diff(DiffArgs),
    /// Keep what a pipeline does to a model as a snapshot to review, or hold it to that.
    Snapshot(SnapshotArgs),
    /// Make git show models as text in this repository.
    GitSetup(GitSetupArgs),
    /// What git calls for `git log -p`.
    #[command(hide = true)]
    GitTextconv {
        /// The file that git made of one version.
        file: PathBuf,
    },
    /// What git calls for `git diff`.
    #[command(hide = true)]
    GitDiff {
        /// Path, old file, old hash, old mode, new file, new hash, new mode; for a rename two more.
        #[arg(required = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// List the passes and the pipelines that come with the program, or show the documentation of one pass.
    Passes(PassesArgs),
    /// Hold a rewritten model to its original, by running both in ONNX Runtime.
    #[cfg(feature = "verify")]
    Verify(VerifyArgs),
    /// Print the JSON Schema of pipelines, so that editors complete them, or of reports.
    Schema(SchemaArgs),
    /// Print a script that completes the arguments in a shell.
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-pass run single-shot model.onnx -o out/
      out/model.onnx, and beside it the files that the passes make
      (specializations.json, custom_io.yaml, compile.args)
  onnx-pass run passes/qwen3-vl-reranker.yaml model.onnx -o out/ --set height=192 --set width=256
      with other values for the pipeline's variables
  onnx-pass run clean-up model.onnx --in-place
      replace the model itself
  onnx-pass run clean-up 'models/**/*.onnx' -o out/ --if-changed --report json
      many models, several at a time, those alone that are not up to date; one report for all

Several models keep their folders below the one that they share; of those that lie in one
folder, each gets a folder of its own, so that the files beside them do not meet.")]
pub struct RunArgs {
    /// A pipeline file, or the name of a pipeline that comes with the program.
    pub pipeline: String,
    /// The models: files, or patterns such as 'models/**/*.onnx'.
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Where to write: a file, or a folder (it exists, ends in a slash, or has no ending) in which the model
    /// keeps its name. What is there is replaced, but never the model that was read.
    #[arg(short, long, value_name = "PATH", required_unless_present_any = ["in_place", "dry_run"])]
    pub output: Option<PathBuf>,
    /// Replace the model that was read.
    #[arg(long, conflicts_with = "output")]
    pub in_place: bool,
    /// Run everything, report everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Give a variable of the pipeline a value; a list is `--set 'lengths=[1, 128]'`.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_override)]
    pub set: Vec<Override>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = ReportAs::Text)]
    pub report: ReportAs,
    /// Say how long each step took; the report is then another each time.
    #[arg(long)]
    pub timings: bool,
    /// End the run after the first step of this pass, and write what there is then.
    #[arg(long, value_name = "PASS")]
    pub stop_after: Option<String>,
    /// Print the model as ONNX text after each step of this pass; `all` is every step. Large weights are hashes.
    /// With `--report json` the text goes to standard error.
    #[arg(long, value_name = "PASS")]
    pub print_after: Vec<String>,
    /// Check every invariant of the model after each step, not only the cheap ones.
    #[arg(long)]
    pub verify_each: bool,
    /// Read external weights through symbolic links too, as the caches of model hubs have them.
    #[arg(long)]
    pub allow_symlinks: bool,
    /// What is done with weights in files beside the model.
    #[arg(long, value_enum, default_value_t = WeightsAs::Auto, value_name = "HOW")]
    pub weights: WeightsAs,
    /// Skip models whose outputs were made by this version, pipeline, variables and model already.
    #[arg(long, conflicts_with_all = ["in_place", "dry_run"])]
    pub if_changed: bool,
    /// How many models to work on at a time; all processors when left out.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// How a report is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportAs {
    /// A table for people.
    Text,
    /// JSON; `onnx-pass schema report` describes it.
    Json,
}

/// What is done with weights in files beside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsAs {
    /// Refer to the same file from the same folder; else share its blocks where the file system can; else copy.
    Auto,
    /// Refer to the same file, which must lie in the output's folder or below it.
    Reference,
    /// Share the file's blocks, which not every file system can.
    Reflink,
    /// Give the file a second name (current `onnx` refuses such files, the original as well).
    Link,
    /// Copy the file.
    Copy,
    /// Take the weights into the model.
    Embed,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-pass show model.onnx
      inputs, outputs, counts, and the tree of scopes with equal layers told once
  onnx-pass show --full model.onnx | less
      every node in the ONNX textual syntax; large weights are a hash
  onnx-pass show --text model.onnx > model.onnxtxt
      everything; reads back to the same model")]
pub struct ShowArgs {
    /// The model.
    pub model: PathBuf,
    #[command(flatten)]
    pub depth: DepthArgs,
    /// With `--text`, how weights in the model's own file are given.
    #[arg(long, value_enum, default_value_t = WeightsShown::Inline, requires = "text", value_name = "HOW")]
    pub weights: WeightsShown,
    /// Read external weights through symbolic links too.
    #[arg(long)]
    pub allow_symlinks: bool,
}

/// How much of a model is shown.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct DepthArgs {
    /// Inputs, outputs, opsets, functions, operators by count, weights by type and size.
    #[arg(long)]
    pub signature: bool,
    /// The signature and the tree of scopes, repeated layers folded; this is what is shown unless told otherwise.
    #[arg(long)]
    pub outline: bool,
    /// Every node in the ONNX textual syntax; weights as a type, a shape and a hash.
    #[arg(long)]
    pub full: bool,
    /// Everything in the ONNX textual syntax, with weights: reads back to the same model.
    #[arg(long)]
    pub text: bool,
    /// Every value with its shape, what is known of its contents, and why a length is open.
    #[arg(long)]
    pub shapes: bool,
    /// The KV caches as `eliminate-kv-cache` finds them, and who reads their lengths.
    #[arg(long)]
    pub caches: bool,
}

/// How `show --text` gives weights that are in the model's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsShown {
    /// All values.
    Inline,
    /// Large ones as a place in the model's file: the text reads back in that file's folder.
    Reference,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-pass diff before.onnx after.onnx
  onnx-pass diff before.onnx after.onnx --format markdown > comment.md
  onnx-pass diff before.onnx after.onnx --format html > changes.html
      one page, with the changed part of both graphs drawn side by side

Nodes are matched by what they compute, not by their names: a renumbered export is no change.
Exit code, as diff has it: 0 no change of structure, 1 a change, 2 trouble.")]
pub struct DiffArgs {
    /// The model as it was; /dev/null when there was none.
    pub before: PathBuf,
    /// The model as it is; /dev/null when there is none.
    pub after: PathBuf,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = DiffAs::Text)]
    pub format: DiffAs,
    /// With `--format markdown`, a title above it: the file's name in a repository, for example.
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Count other names inside the graph, another order of the nodes, metadata and declared types as a change too.
    #[arg(long)]
    pub exact: bool,
    /// Read external weights through symbolic links too.
    #[arg(long)]
    pub allow_symlinks: bool,
}

/// How a diff is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffAs {
    /// For a terminal.
    Text,
    /// For a comment on a pull request; the details are folded.
    Markdown,
    /// For programs; `onnx-pass schema diff` describes it.
    Json,
    /// One page with drawings.
    Html,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-pass snapshot my.yaml model.onnx            make it, or see what changed and keep that for a review
  onnx-pass snapshot my.yaml model.onnx --check    in CI: fail when it is another
  onnx-pass snapshot my.yaml model.onnx --accept   take what there is now

The file is in the format of insta: what changed is kept beside it as `.snap.new`, which `cargo insta review` opens.
Exit code: 0 it holds or was written, 1 it is another (what changed is printed) or the pipeline failed.")]
pub struct SnapshotArgs {
    /// A pipeline file, or the name of a pipeline that comes with the program.
    pub pipeline: String,
    /// The model.
    pub model: PathBuf,
    /// Compare, write nothing.
    #[arg(long)]
    pub check: bool,
    /// Write it, whatever was there.
    #[arg(long, conflicts_with = "check")]
    pub accept: bool,
    /// The snapshot's file [default: snapshots/PIPELINE__MODEL.snap beside the pipeline, or in the current folder
    /// for a pipeline that comes with the program]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Give a variable of the pipeline a value.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_override)]
    pub set: Vec<Override>,
    /// Read external weights through symbolic links too.
    #[arg(long)]
    pub allow_symlinks: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Afterwards `git diff` tells what changed in a model, and `git log -p` shows it as text. The attributes
(.gitattributes) are committed with the repository; the configuration is each clone's own, so everybody runs this
once. `git diff --no-ext-diff` shows the change as text too.")]
pub struct GitSetupArgs {
    /// For all repositories of this user, in place of this one.
    #[arg(long)]
    pub global: bool,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct PassesArgs {
    /// The pass to show.
    pub name: Option<String>,
    /// Write the documentation of every pass into this folder, as Markdown.
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    pub markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  onnx-pass schema > pipeline.schema.json
  # then, as the first line of a pipeline:
  # yaml-language-server: $schema=pipeline.schema.json")]
pub struct SchemaArgs {
    /// Of what.
    #[arg(value_enum, default_value_t = SchemaOf::Pipeline)]
    pub of: SchemaOf,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// Pipeline files.
    Pipeline,
    /// What `run --report json` prints.
    Report,
    /// What `diff --format json` prints.
    Diff,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  onnx-pass completions bash > ~/.local/share/bash-completion/completions/onnx-pass")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(feature = "verify")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-pass verify model.onnx out/model.onnx --set batch=2 --set seq_len=8
      random inputs of these lengths; caches that only the original has are empty
  onnx-pass verify model.onnx out/model.onnx --inputs recorded.npz --rename image_embeds=pixel_values_RetainedState
      recorded inputs; an output has another name now

ONNX Runtime is looked for where ORT_DYLIB_PATH says, else in the onnxruntime package of the python3 on the PATH.
Exit code: 0 all outputs are equal within the tolerance, 1 they are not or cannot be compared.")]
pub struct VerifyArgs {
    /// The model as it was.
    pub original: PathBuf,
    /// The model that was made of it.
    pub rewritten: PathBuf,
    /// The length of a symbol in the shapes of the inputs.
    #[arg(long = "set", value_name = "SYMBOL=LENGTH", value_parser = parse_length)]
    pub set: Vec<(String, i64)>,
    /// Inputs as NumPy saves them; several files are several runs.
    #[arg(long, value_name = "FILE.npz")]
    pub inputs: Vec<PathBuf>,
    /// An input or output that has another name now.
    #[arg(long, value_name = "NEW=OLD", value_parser = parse_rename)]
    pub rename: Vec<(String, String)>,
    /// Let differences pass that are below this part of the original's number [default: by type, 1e-4 for float32].
    #[arg(long)]
    pub rtol: Option<f64>,
    /// Let differences pass that are below this [default: by type, 1e-5 for float32].
    #[arg(long)]
    pub atol: Option<f64>,
    /// Another one makes other inputs.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Read external weights through symbolic links too.
    #[arg(long)]
    pub allow_symlinks: bool,
}

#[cfg(feature = "verify")]
fn parse_length(text: &str) -> Result<(String, i64), String> {
    let (name, length) = text.rsplit_once('=').ok_or("write `--set SYMBOL=LENGTH`")?;
    match length.trim().parse::<i64>() {
        Ok(length) if length >= 0 => Ok((name.trim().to_owned(), length)),
        _ => Err(format!("`{length}` is no length")),
    }
}

#[cfg(feature = "verify")]
fn parse_rename(text: &str) -> Result<(String, String), String> {
    let (new, old) = text.split_once('=').ok_or("write `--rename NEW=OLD`")?;
    Ok((new.to_owned(), old.to_owned()))
}

fn parse_override(text: &str) -> Result<Override, String> {
    Override::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
