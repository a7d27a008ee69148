//! How far two tensors are apart.

use onnx_pass_ir::{DataType, Tensor, TensorData};

use super::{VerifyError, VerifySettings, described};

/// What is let pass: `atol + rtol × |original|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The part that grows with the numbers.
    pub rtol: f64,
    /// The part that does not.
    pub atol: f64,
}

impl Tolerance {
    /// What float arithmetic in another order may come to; nothing for integers.
    pub fn of(dtype: DataType) -> Self {
        let (rtol, atol) = match dtype {
            DataType::FLOAT | DataType::DOUBLE => (1e-4, 1e-5),
            DataType::FLOAT16 => (1e-2, 1e-3),
            DataType::BFLOAT16 => (5e-2, 5e-3),
            _ => (0.0, 0.0),
        };
        Self { rtol, atol }
    }
}

/// One output in both models.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Its name in the rewritten model.
    pub name: String,
    /// Its type and shape in the rewritten model.
    pub ty: String,
    /// The largest difference of two numbers.
    pub largest: f64,
    /// The largest number of the original, to tell what that means.
    pub scale: f64,
    /// What is wrong; `None` when it is within the tolerance.
    pub complaint: Option<String>,
}

/// Compares an output. Numbers that are no numbers must be so in both.
pub fn compare(
    name: &str,
    old: &Tensor,
    new: &Tensor,
    settings: &VerifySettings,
) -> Result<Difference, VerifyError> {
    let mut difference =
        Difference { name: name.to_owned(), ty: described(new), largest: 0.0, scale: 0.0, complaint: None };
    if old.dims != new.dims {
        difference.complaint = Some(format!("was {}", described(old)));
        return Ok(difference);
    }
    if let (TensorData::Strings(old), TensorData::Strings(new)) = (&old.data, &new.data) {
        difference.complaint = (old != new).then(|| "has other strings".to_owned());
        return Ok(difference);
    }
    let types = (is_float(old.dtype), is_float(new.dtype));
    if types.0 != types.1 || (!types.0 && old.dtype != new.dtype) {
        difference.complaint = Some(format!("was {}", described(old)));
        return Ok(difference);
    }
    if !types.0 {
        if old.bytes()? != new.bytes()? {
            let (old, new) = (old.to_i64s()?, new.to_i64s()?);
            let apart = old.iter().zip(&new).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or_default();
            difference.largest = apart as f64;
            difference.complaint = Some(format!("differs by {apart}"));
        }
        return Ok(difference);
    }
    // The coarser of the two types says what can be expected.
    let (a, b) = (Tolerance::of(old.dtype), Tolerance::of(new.dtype));
    let tolerance = Tolerance {
        rtol: settings.rtol.unwrap_or(a.rtol.max(b.rtol)),
        atol: settings.atol.unwrap_or(a.atol.max(b.atol)),
    };
    numbers(&mut difference, &old.to_f64s()?, &new.to_f64s()?, tolerance);
    Ok(difference)
}

fn is_float(dtype: DataType) -> bool {
    [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16].contains(&dtype)
}

fn numbers(difference: &mut Difference, old: &[f64], new: &[f64], tolerance: Tolerance) {
    let mut beyond = 0usize;
    for (old, new) in old.iter().zip(new) {
        if old.to_bits() == new.to_bits() || (old.is_nan() && new.is_nan()) || old == new {
            difference.scale = difference.scale.max(if old.is_finite() { old.abs() } else { 0.0 });
            continue;
        }
        let gap = (old - new).abs();
        // One is infinite or no number and the other is not.
        if !gap.is_finite() {
            difference.largest = f64::INFINITY;
            beyond += 1;
            continue;
        }
        difference.largest = difference.largest.max(gap);
        difference.scale = difference.scale.max(old.abs());
        beyond += usize::from(gap > tolerance.atol + tolerance.rtol * old.abs());
    }
    if beyond > 0 {
        let Tolerance { rtol, atol } = tolerance;
        difference.complaint = Some(format!(
            "differs by up to {:.3e}, {beyond} of {} numbers beyond rtol {rtol:e}, atol {atol:e}",
            difference.largest,
            old.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(old: &Tensor, new: &Tensor) -> Option<String> {
        compare("y", old, new, &VerifySettings::default()).ok().and_then(|d| d.complaint)
    }

    #[test]
    fn numbers_may_differ_by_what_arithmetic_does() {
        let one = Tensor::float(&[3], &[1.0, 100.0, f32::NAN]);
        assert_eq!(complaint(&one, &Tensor::float(&[3], &[1.00001, 100.001, f32::NAN])), None);
        assert_eq!(
            complaint(&one, &Tensor::float(&[3], &[1.001, 100.0, f32::NAN])).as_deref(),
            Some("differs by up to 1.000e-3, 1 of 3 numbers beyond rtol 1e-4, atol 1e-5")
        );
        let lost = Tensor::float(&[3], &[1.0, f32::NAN, f32::NAN]);
        assert!(complaint(&one, &lost).is_some_and(|text| text.contains("up to inf, 1 of 3")));
        let infinite = Tensor::float(&[1], &[f32::INFINITY]);
        assert_eq!(complaint(&infinite, &infinite), None);
        assert!(complaint(&infinite, &Tensor::float(&[1], &[f32::NEG_INFINITY])).is_some());
    }

    #[test]
    fn integers_shapes_and_types_are_exact() {
        let one = Tensor::int64_vec(&[1, 2]);
        assert_eq!(complaint(&one, &Tensor::int64_vec(&[1, 4])).as_deref(), Some("differs by 2"));
        assert_eq!(complaint(&one, &Tensor::int64(&[1, 2], &[1, 2])).as_deref(), Some("was int64[2]"));
        assert_eq!(complaint(&one, &Tensor::float(&[2], &[1.0, 2.0])).as_deref(), Some("was int64[2]"));
    }
}
