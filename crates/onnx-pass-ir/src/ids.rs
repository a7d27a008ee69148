//! Typed ids into a model's arena.
//!
//! Ids are dense `u32` indices, never reused while a model lives, so an id that was taken from a model
//! either names the same thing for ever or something that is gone ([`crate::Model::is_live_node`] tells).

use std::fmt;
use std::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The id of the `index`-th entry. Saturates at the arena's limit of 2³² − 2 entries.
            #[inline]
            pub fn new(index: usize) -> Self {
                let n = u32::try_from(index).unwrap_or(u32::MAX - 1);
                Self(NonZeroU32::MIN.saturating_add(n))
            }

            /// The position in the arena.
            #[inline]
            pub fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.index())
            }
        }
    };
}

id!(
    /// A node of some graph or function body.
    NodeId, "n"
);
id!(
    /// A value: a graph input, an initializer or a node output.
    ValueId, "v"
);
id!(
    /// A graph: the main one, a subgraph in an attribute, or a function's body.
    GraphId, "g"
);
id!(
    /// A model-local function.
    FunctionId, "f"
);
