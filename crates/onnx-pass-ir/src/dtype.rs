//! Element types.

use std::fmt;

/// An element type, by its number in `TensorProto.DataType`. Numbers outside the schema are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DataType(pub i32);

macro_rules! dtypes {
    ($($konst:ident = $num:literal, $name:literal, $bits:literal;)*) => {
        #[allow(missing_docs)]
        impl DataType { $(pub const $konst: DataType = DataType($num);)* }

        /// (number, textual name, bits of one element; 0 where it has no fixed size)
        const TABLE: &[(i32, &str, u32)] = &[$(($num, $name, $bits)),*];
    };
}

dtypes! {
    UNDEFINED = 0, "undefined", 0;
    FLOAT = 1, "float", 32;
    UINT8 = 2, "uint8", 8;
    INT8 = 3, "int8", 8;
    UINT16 = 4, "uint16", 16;
    INT16 = 5, "int16", 16;
    INT32 = 6, "int32", 32;
    INT64 = 7, "int64", 64;
    STRING = 8, "string", 0;
    BOOL = 9, "bool", 8;
    FLOAT16 = 10, "float16", 16;
    DOUBLE = 11, "double", 64;
    UINT32 = 12, "uint32", 32;
    UINT64 = 13, "uint64", 64;
    COMPLEX64 = 14, "complex64", 64;
    COMPLEX128 = 15, "complex128", 128;
    BFLOAT16 = 16, "bfloat16", 16;
    FLOAT8E4M3FN = 17, "float8e4m3fn", 8;
    FLOAT8E4M3FNUZ = 18, "float8e4m3fnuz", 8;
    FLOAT8E5M2 = 19, "float8e5m2", 8;
    FLOAT8E5M2FNUZ = 20, "float8e5m2fnuz", 8;
    UINT4 = 21, "uint4", 4;
    INT4 = 22, "int4", 4;
    FLOAT4E2M1 = 23, "float4e2m1", 4;
    FLOAT8E8M0 = 24, "float8e8m0", 8;
    UINT2 = 25, "uint2", 2;
    INT2 = 26, "int2", 2;
    FLOAT6E2M3 = 27, "float6e2m3", 6;
    FLOAT6E3M2 = 28, "float6e3m2", 6;
}

impl DataType {
    /// The name of the textual syntax (`float`, `int64`, …); `None` outside the schema.
    pub fn name(self) -> Option<&'static str> {
        TABLE.get(usize::try_from(self.0).ok()?).map(|e| e.1)
    }

    /// The type of that textual name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().skip(1).find(|e| e.1 == name).map(|e| DataType(e.0))
    }

    /// Bits of one element in `raw_data`; `None` for strings and unknown types.
    pub fn bits(self) -> Option<u32> {
        TABLE.get(usize::try_from(self.0).ok()?).map(|e| e.2).filter(|b| *b > 0)
    }

    /// Bytes of `count` elements in `raw_data` (sub-byte types are packed); `None` where not known.
    pub fn byte_len(self, count: usize) -> Option<usize> {
        let bits = self.bits()? as usize;
        if bits == 6 {
            return Some(count);
        }
        Some(count.checked_mul(bits)?.div_ceil(8))
    }

    /// Any floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self.0, 1 | 10 | 11 | 16..=20 | 23 | 24 | 27 | 28)
    }

    /// Any signed or unsigned integer type (not `bool`).
    pub fn is_integer(self) -> bool {
        matches!(self.0, 2..=7 | 12 | 13 | 21 | 22 | 25 | 26)
    }

    /// Any signed integer type.
    pub fn is_signed_integer(self) -> bool {
        matches!(self.0, 3 | 5 | 6 | 7 | 22 | 26)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "dtype{}", self.0),
        }
    }
}

impl fmt::Debug for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
