//! A second reader of ONNX files: as much of Protocol Buffers as it takes, and nothing of the writer's code.

use std::collections::BTreeMap;

/// A message: values by field, in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields(BTreeMap<u32, Vec<Value>>);

#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Four(u32),
}

impl Fields {
    pub fn read(bytes: &[u8]) -> Self {
        let (mut fields, mut at) = (Fields::default(), 0);
        while at < bytes.len() {
            let key = varint(bytes, &mut at);
            let value = match key & 7 {
                0 => Value::Number(varint(bytes, &mut at)),
                2 => {
                    let size = varint(bytes, &mut at) as usize;
                    at += size;
                    Value::Bytes(bytes[at - size..at].to_vec())
                }
                5 => {
                    at += 4;
                    Value::Four(u32::from_le_bytes(bytes[at - 4..at].try_into().unwrap()))
                }
                other => panic!("wire type {other}"),
            };
            fields.0.entry((key >> 3) as u32).or_default().push(value);
        }
        fields
    }

    fn all(&self, field: u32) -> impl Iterator<Item = &Value> {
        self.0.get(&field).into_iter().flatten()
    }

    pub fn numbers(&self, field: u32) -> Vec<i64> {
        self.all(field)
            .map(|value| match value {
                Value::Number(n) => n.cast_signed(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub fn float(&self, field: u32) -> f32 {
        match self.all(field).next() {
            Some(Value::Four(bits)) => f32::from_bits(*bits),
            other => panic!("{other:?}"),
        }
    }

    pub fn bytes(&self, field: u32) -> Vec<Vec<u8>> {
        self.all(field)
            .map(|value| match value {
                Value::Bytes(bytes) => bytes.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub fn texts(&self, field: u32) -> Vec<String> {
        self.bytes(field).into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    pub fn messages(&self, field: u32) -> Vec<Fields> {
        self.bytes(field).iter().map(|bytes| Fields::read(bytes)).collect()
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}
