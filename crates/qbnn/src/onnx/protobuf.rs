//! As much of the wire format of Protocol Buffers as writing a message takes: varints, single-precision numbers, and bytes with
//! their length. <https://protobuf.dev/programming-guides/encoding/>
//!
//! A file of ONNX is one message. Its fields have few kinds, and a whole library for them would be the largest dependency of
//! this crate.

/// A message that is being written: its fields, each a number and a value, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message(Vec<u8>);

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Varint = 0,
    Bytes = 2,
    Four = 5,
}

impl Message {
    /// The bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A whole number.
    pub(super) fn number(mut self, field: u32, value: i64) -> Self {
        self.key(field, Wire::Varint);
        // Two's complement of 64 bits, also below 0.
        self.varint(value.cast_unsigned());
        self
    }

    /// Whole numbers, a field each.
    pub(super) fn numbers(self, field: u32, values: &[i64]) -> Self {
        values.iter().fold(self, |message, &value| message.number(field, value))
    }

    /// A number in single precision.
    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, Wire::Four);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Bytes.
    pub(super) fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, Wire::Bytes);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text.
    pub(super) fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// A message within this one.
    pub(super) fn message(self, field: u32, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    /// Messages, a field each.
    pub(super) fn messages<'a>(self, field: u32, messages: impl IntoIterator<Item = &'a Message>) -> Self {
        messages.into_iter().fold(self, |whole, message| whole.message(field, message))
    }

    fn key(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    /// Seven bits a byte, the least first; all but the last have the highest bit.
    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // From the page named above: field 1 is 150; field 2 is "testing"; field 3 is the first message.
        let first = Message::default().number(1, 150);
        assert_eq!(first.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let second = Message::default().text(2, "testing").into_bytes();
        assert_eq!(second, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        assert_eq!(Message::default().message(3, &first).into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let below = Message::default().number(1, -2).into_bytes();
        assert_eq!(below, [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(Message::default().float(2, 1.0).into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().number(20, 7).into_bytes(), [0xa0, 0x01, 0x07]);
    }
}
