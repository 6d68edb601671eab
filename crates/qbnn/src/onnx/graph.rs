//! A graph of ONNX while it is made: nodes, constants, and names of values.
//!
//! Field numbers are those of `onnx.proto` of ONNX 1.12 (operators of version 17).

use super::protobuf::Message;

/// Version of the operators, and of the file with which it came.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Float = 1,
    Byte = 2,
    Whole = 7,
}

/// A property of a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute<'a> {
    Number(&'a str, i64),
    Numbers(&'a str, &'a [i64]),
    Float(&'a str, f32),
}

/// A size of a value: known, or named.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Known(usize),
    Named(&'static str),
}

/// A graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    count: usize,
}

impl Graph {
    /// Adds a node of one output; gives the output's name.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = format!("{}{}", kind.to_lowercase(), self.count);
        self.count += 1;
        self.named(kind, inputs, attributes, &name);
        name
    }

    /// Adds a node of one output of this name.
    pub(super) fn named(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>], output: &str) {
        let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        let node = node.text(2, output).text(3, output).text(4, kind);
        let attributes: Vec<Message> = attributes.iter().map(attribute).collect();
        self.nodes.push(node.messages(5, &attributes));
    }

    /// Adds a constant of floats; gives its name.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, Type::Float, shape, &bytes)
    }

    /// Adds a single float.
    pub(super) fn float(&mut self, value: f32) -> String {
        let name = format!("constant{}", self.count);
        self.count += 1;
        self.floats(&name, &[], &[value])
    }

    /// Adds whole numbers.
    pub(super) fn whole(&mut self, values: &[i64]) -> String {
        let name = format!("sizes{}", self.count);
        self.count += 1;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&name, Type::Whole, &[values.len()], &bytes)
    }

    fn constant(&mut self, name: &str, kind: Type, shape: &[usize], bytes: &[u8]) -> String {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let tensor = Message::default().numbers(1, &shape).number(2, kind as i64).text(8, name).bytes(9, bytes);
        self.constants.push(tensor);
        name.to_owned()
    }

    /// Declares an input.
    pub(super) fn input(&mut self, name: &str, kind: Type, shape: &[Size], text: &str) {
        self.inputs.push(value(name, kind, shape, text));
    }

    /// Declares a value as an output.
    pub(super) fn output(&mut self, name: &str, kind: Type, shape: &[Size], text: &str) {
        self.outputs.push(value(name, kind, shape, text));
    }

    /// The file: the graph with a text about it and properties.
    pub(super) fn into_model(self, name: &str, text: &str, properties: &[(&str, String)]) -> Vec<u8> {
        let graph = Message::default()
            .messages(1, &self.nodes)
            .text(2, name)
            .messages(5, &self.constants)
            .messages(11, &self.inputs)
            .messages(12, &self.outputs);
        let opset = Message::default().text(1, "").number(2, OPSET);
        let properties: Vec<Message> =
            properties.iter().map(|(key, value)| Message::default().text(1, key).text(2, value)).collect();
        Message::default()
            .number(1, IR_VERSION)
            .text(2, "qbnn")
            .text(3, env!("CARGO_PKG_VERSION"))
            .text(6, text)
            .message(7, &graph)
            .message(8, &opset)
            .messages(14, &properties)
            .into_bytes()
    }
}

fn attribute(attribute: &Attribute<'_>) -> Message {
    /// What `AttributeProto` calls the kinds.
    const FLOAT: i64 = 1;
    const INT: i64 = 2;
    const INTS: i64 = 7;
    match attribute {
        Attribute::Float(name, value) => Message::default().text(1, name).float(2, *value).number(20, FLOAT),
        Attribute::Number(name, value) => Message::default().text(1, name).number(3, *value).number(20, INT),
        Attribute::Numbers(name, values) => Message::default().text(1, name).numbers(8, values).number(20, INTS),
    }
}

fn value(name: &str, kind: Type, shape: &[Size], text: &str) -> Message {
    let size = |size: &Size| match size {
        Size::Known(size) => Message::default().number(1, *size as i64),
        Size::Named(name) => Message::default().text(2, name),
    };
    let sizes: Vec<Message> = shape.iter().map(size).collect();
    let shape = Message::default().messages(1, &sizes);
    let tensor = Message::default().number(1, kind as i64).message(2, &shape);
    let message = Message::default().text(1, name).message(2, &Message::default().message(1, &tensor));
    if text.is_empty() { message } else { message.text(3, text) }
}
