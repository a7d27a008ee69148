//! Numbers of a tensor, loaded for computing.

use onnx_pass_ir::{DataType, Tensor};

/// The elements of a tensor: half precision as single, integers and bools as wide integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Num {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Int(Vec<i128>),
}

fn chunks<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
}

/// The numbers of a tensor; `None` for types that are not computed with.
pub(super) fn load(t: &Tensor) -> Option<Num> {
    let raw = t.bytes().ok()?;
    Some(match t.dtype {
        DataType::FLOAT => Num::F32(chunks(&raw, f32::from_le_bytes)),
        DataType::FLOAT16 => Num::F32(chunks(&raw, |b| half::f16::from_le_bytes(b).to_f32())),
        DataType::BFLOAT16 => Num::F32(chunks(&raw, |b| half::bf16::from_le_bytes(b).to_f32())),
        DataType::DOUBLE => Num::F64(chunks(&raw, f64::from_le_bytes)),
        DataType::UINT64 => Num::Int(chunks(&raw, |b| i128::from(u64::from_le_bytes(b)))),
        t if t.bits() == Some(4) => return None,
        _ => Num::Int(t.to_i64s().ok()?.into_iter().map(i128::from).collect()),
    })
}

/// A tensor of these numbers, each rounded to the type's precision, integers wrapped to its width.
pub(super) fn store(dtype: DataType, dims: &[i64], n: &Num) -> Option<Tensor> {
    let mut raw: Vec<u8> = Vec::new();
    match (n, dtype) {
        (Num::F32(v), DataType::FLOAT) => v.iter().for_each(|x| raw.extend(x.to_le_bytes())),
        (Num::F32(v), DataType::FLOAT16) => {
            v.iter().for_each(|x| raw.extend(half::f16::from_f32(*x).to_le_bytes()));
        }
        (Num::F32(v), DataType::BFLOAT16) => {
            v.iter().for_each(|x| raw.extend(half::bf16::from_f32(*x).to_le_bytes()));
        }
        (Num::F64(v), DataType::DOUBLE) => v.iter().for_each(|x| raw.extend(x.to_le_bytes())),
        (Num::Int(v), _) => {
            for x in v {
                put(dtype, *x, &mut raw)?;
            }
        }
        _ => return None,
    }
    Tensor::from_raw(dtype, dims, raw).ok()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Wrapping is what is meant.
fn put(dtype: DataType, x: i128, out: &mut Vec<u8>) -> Option<()> {
    match dtype {
        DataType::INT64 => out.extend((x as i64).to_le_bytes()),
        DataType::UINT64 => out.extend((x as u64).to_le_bytes()),
        DataType::INT32 => out.extend((x as i32).to_le_bytes()),
        DataType::UINT32 => out.extend((x as u32).to_le_bytes()),
        DataType::INT16 => out.extend((x as i16).to_le_bytes()),
        DataType::UINT16 => out.extend((x as u16).to_le_bytes()),
        DataType::INT8 => out.extend((x as i8).to_le_bytes()),
        DataType::UINT8 => out.push(x as u8),
        DataType::BOOL => out.push(u8::from(x != 0)),
        _ => return None,
    }
    Some(())
}

/// The least and the greatest value of an integer type.
fn range(t: DataType) -> Option<(i128, i128)> {
    Some(match t {
        DataType::INT64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UINT64 => (0, u64::MAX.into()),
        DataType::INT32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UINT32 => (0, u32::MAX.into()),
        DataType::INT16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::UINT16 => (0, u16::MAX.into()),
        DataType::INT8 => (-128, 127),
        DataType::UINT8 => (0, 255),
        _ => return None,
    })
}

/// The numbers as another type has them, where every runtime agrees on that.
pub(super) fn convert(n: &Num, to: DataType) -> Option<Num> {
    match to {
        DataType::BOOL => Some(Num::Int(match n {
            Num::F32(v) => v.iter().map(|x| i128::from(*x != 0.0)).collect(),
            Num::F64(v) => v.iter().map(|x| i128::from(*x != 0.0)).collect(),
            Num::Int(v) => v.iter().map(|x| i128::from(*x != 0)).collect(),
        })),
        DataType::DOUBLE => Some(Num::F64(match n {
            Num::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Num::F64(v) => v.clone(),
            Num::Int(v) => v.iter().map(|x| *x as f64).collect(),
        })),
        DataType::FLOAT => Some(Num::F32(match n {
            Num::F32(v) => v.clone(),
            Num::F64(v) => v.iter().map(|x| *x as f32).collect(),
            Num::Int(v) => v.iter().map(|x| *x as f32).collect(),
        })),
        DataType::FLOAT16 | DataType::BFLOAT16 => through_single(n),
        to => {
            let (low, high) = range(to)?;
            let v: Vec<i128> = match n {
                Num::F32(v) => v.iter().map(|x| truncated(f64::from(*x))).collect::<Option<_>>()?,
                Num::F64(v) => v.iter().map(|x| truncated(*x)).collect::<Option<_>>()?,
                Num::Int(v) => return Some(Num::Int(v.clone())),
            };
            v.iter().all(|x| (low..=high).contains(x)).then_some(Num::Int(v))
        }
    }
}

/// To half precision runtimes go by way of single precision; that is one rounding only where the first step
/// is exact.
fn through_single(n: &Num) -> Option<Num> {
    Some(Num::F32(match n {
        Num::F32(v) => v.clone(),
        Num::F64(v) => {
            let exact = |x: &f64| (f64::from(*x as f32) == *x || x.is_nan()).then_some(*x as f32);
            v.iter().map(exact).collect::<Option<_>>()?
        }
        Num::Int(v) => v.iter().map(|x| (x.abs() < 1 << 24).then_some(*x as f32)).collect::<Option<_>>()?,
    }))
}

fn truncated(x: f64) -> Option<i128> {
    (x.is_finite() && x.abs() < 1e30).then(|| x.trunc() as i128)
}
