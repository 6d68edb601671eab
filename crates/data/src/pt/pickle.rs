//! The stack machine of pickle, cut down to what files of tensors need. Nothing is ever called and no class is ever looked
//! up: a few calls are recognised by name and become a tensor, a dictionary or a tuple; every other class or function
//! becomes an inert value that keeps its name and its state.
//!
//! What a program makes lies in one list of nodes, and values are numbers of nodes: a program that refers to itself, or
//! nests without end, costs no more memory than its own length and no depth of the stack. Whoever walks through the
//! result ([`super::tree`]) bounds depth and number of steps.

use std::collections::HashMap;

/// The longest program. A tensor takes some 100 bytes of it; 0.3 to 15 kB are usual.
pub(super) const LONGEST: usize = 1 << 20;

/// The longest name of a class, and of an entry of the archive.
const LONGEST_NAME: usize = 256;

/// What a program makes: small, or the number of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Mark,
    Nothing,
    Flag(bool),
    Int(i64),
    Float(f64),
    Node(usize),
}

/// What does not fit a [`Value`].
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// Bytes, of which nothing is kept.
    Bytes,
    /// A class or function by module and name.
    Global(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(View),
    Object(Object),
}

/// Where numbers are.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// Name of the class that says the type, such as `FloatStorage`.
    pub kind: String,
    /// Last part of the entry's name.
    pub key: String,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub storage: Storage,
    /// First number of the tensor in the storage.
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A value of a class that is not known here. It is never made.
#[derive(Debug)]
pub(super) struct Object {
    /// Module and name of the class, or of the function that would make it.
    pub class: String,
    /// Its attributes, as a rule a dictionary.
    pub state: Value,
    /// Its items, where it is a kind of dictionary.
    pub items: Vec<(Value, Value)>,
}

/// The result of a program.
#[derive(Debug)]
pub(super) struct Made {
    pub nodes: Vec<Node>,
    pub root: Value,
}

impl Made {
    /// The node that a value is a number of.
    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }
}

struct Machine<'a> {
    code: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
    /// Pairs that were copied from lists into dictionaries.
    copied: usize,
}

/// Runs a program.
pub(super) fn read(code: &[u8]) -> Result<Made, String> {
    if code.len() > LONGEST {
        return Err(format!("a description of {} bytes, at most {LONGEST} are read", code.len()));
    }
    let mut machine = Machine { code, at: 0, stack: Vec::new(), memo: HashMap::new(), nodes: Vec::new(), copied: 0 };
    while !machine.step()? {}
    let root = machine.pop()?;
    if !machine.stack.is_empty() || root == Value::Mark {
        return Err("a description that ends in the middle of an object".into());
    }
    Ok(Made { nodes: machine.nodes, root })
}

impl Machine<'_> {
    /// One instruction; true after the last.
    fn step(&mut self) -> Result<bool, String> {
        let at = self.at;
        match self.byte()? {
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(true),
            b'(' => self.stack.push(Value::Mark),
            b'N' => self.stack.push(Value::Nothing),
            0x88 => self.stack.push(Value::Flag(true)),
            0x89 => self.stack.push(Value::Flag(false)),
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => self.int(4)?,
            0x8a => {
                let size = self.byte()?;
                self.long(usize::from(size))?;
            }
            b'G' => {
                let taken = self.take(8)?.first_chunk().copied().unwrap_or_default();
                self.stack.push(Value::Float(f64::from_be_bytes(taken)));
            }
            b'X' => {
                let size = self.size(4)?;
                self.text(size)?;
            }
            0x8c => {
                let size = self.size(1)?;
                self.text(size)?;
            }
            letter @ (b'C' | b'U' | b'B' | b'T') => {
                let size = self.size(if letter == b'C' || letter == b'U' { 1 } else { 4 })?;
                self.take(size as usize)?;
                self.push(Node::Bytes);
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(format!("{module}.{name}"))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = match (self.text_of(module), self.text_of(name)) {
                    (Some(module), Some(name)) => format!("{module}.{name}"),
                    _ => return Err("a name that is no text".into()),
                };
                self.global(global)?;
            }
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => self.remember(u32::try_from(self.memo.len()).unwrap_or(u32::MAX))?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b't' => {
                let items = self.since_mark()?;
                self.push(Node::Tuple(items));
            }
            size @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(size - 0x84)).ok_or("a tuple of too little")?;
                let items = self.stack.split_off(from);
                if items.contains(&Value::Mark) {
                    return Err("a tuple of too little".into());
                }
                self.push(Node::Tuple(items));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Node::Storage(storage));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(function, arguments)?;
                self.stack.push(made);
            }
            0x92 => {
                // A class with arguments by name, which are not kept.
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                let made = self.call(class, arguments)?;
                self.stack.push(made);
            }
            b'b' => {
                let (state, of) = (self.pop()?, self.top()?);
                // The attributes of a dictionary or a tensor are not among its items.
                if let Some(Node::Object(object)) = self.node_mut(of) {
                    object.state = state;
                }
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)?;
            }
            other => {
                return Err(format!("pickle instruction 0x{other:02x} at byte {at}, which no file of tensors needs"));
            }
        }
        Ok(false)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn global(&mut self, name: String) -> Result<(), String> {
        // A short program can refer to one name many times.
        if name.len() > LONGEST_NAME {
            return Err(format!("a class whose name has {} bytes, at most {LONGEST_NAME} are read", name.len()));
        }
        self.push(Node::Global(name));
        Ok(())
    }

    fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(at) => self.nodes.get_mut(at),
            _ => None,
        }
    }

    fn text_of(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, size: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(size).filter(|&end| end <= self.code.len());
        let end = end.ok_or("a description that ends too early (truncated)")?;
        let taken = &self.code[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number without sign, of at most four bytes.
    fn size(&mut self, bytes: usize) -> Result<u32, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b)))
    }

    fn int(&mut self, bytes: usize) -> Result<(), String> {
        let n = self.size(bytes)?;
        // Only the four-byte form has a sign.
        self.stack.push(Value::Int(if bytes == 4 { i64::from(n.cast_signed()) } else { i64::from(n) }));
        Ok(())
    }

    fn long(&mut self, bytes: usize) -> Result<(), String> {
        if bytes > 8 {
            return Err("a number of more than 64 bits".into());
        }
        let taken = self.take(bytes)?;
        let fill = if taken.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..bytes].copy_from_slice(taken);
        self.stack.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text(&mut self, size: u32) -> Result<(), String> {
        let taken = self.take(size as usize)?;
        let text = std::str::from_utf8(taken).map_err(|_| "a text that is not UTF-8")?.into();
        self.push(Node::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.code[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a name without end (truncated)")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map(String::from).map_err(|_| "a name that is not UTF-8".into())
    }

    /// The topmost value, which is no mark.
    fn pop(&mut self) -> Result<Value, String> {
        self.top()?;
        self.stack.pop().ok_or_else(|| "a description that takes what is not there".into())
    }

    fn top(&self) -> Result<Value, String> {
        let top = self.stack.last().copied().filter(|&v| v != Value::Mark);
        top.ok_or_else(|| "a description that takes what is not there".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|&v| v == Value::Mark).ok_or("a group without a start")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn put(&mut self, bytes: usize) -> Result<(), String> {
        let key = self.size(bytes)?;
        self.remember(key)
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, bytes: usize) -> Result<(), String> {
        let key = self.size(bytes)?;
        let kept = self.memo.get(&key).copied();
        self.stack.push(kept.ok_or("a description that recalls what was never kept")?);
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        let of = self.top()?;
        match self.node_mut(of) {
            Some(Node::List(list)) => list.extend(items),
            // Sets and other collections: what they hold is of no use here.
            Some(Node::Object(_)) => {}
            _ => return Err("items of what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Value>) -> Result<(), String> {
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        let of = self.top()?;
        let (Some(Node::Dict(pairs)) | Some(Node::Object(Object { items: pairs, .. }))) = self.node_mut(of) else {
            return Err("items of what is no dictionary".into());
        };
        pairs.extend(items.as_chunks().0.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    /// The storage that ('storage', class, key, place, number of elements) names.
    fn storage(&self, id: Value) -> Result<Storage, String> {
        if let Some(Node::Tuple(items)) = self.node(id)
            && let &[what, class, key, place, Value::Int(_)] = &items[..]
            && self.text_of(what) == Some("storage")
            && let Some(Node::Global(class)) = self.node(class)
            && let (Some(key), Some(_)) = (self.text_of(key), self.text_of(place))
            && let Some(kind) = class.strip_prefix("torch.")
            && key.len() <= LONGEST_NAME
        {
            return Ok(Storage { kind: kind.into(), key: key.into() });
        }
        Err("a reference that is no storage".into())
    }

    /// What a call stands for.
    fn call(&mut self, function: Value, arguments: Value) -> Result<Value, String> {
        let Some(Node::Global(name)) = self.node(function) else {
            return Err("a call of something that is no function".into());
        };
        let name = name.clone();
        let given = match self.node(arguments) {
            // No call that is known looks at more.
            Some(Node::Tuple(given)) => given.iter().take(5).copied().collect::<Vec<_>>(),
            _ => return Err("a call without its arguments".into()),
        };
        let node = match (name.as_str(), &given[..]) {
            ("collections.OrderedDict", []) | ("collections.defaultdict", _) => Node::Dict(Vec::new()),
            ("collections.OrderedDict", &[pairs]) => Node::Dict(self.pairs(pairs)?),
            ("torch.Size", &[sizes]) => return Ok(sizes),
            // A parameter is its tensor.
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", &[tensor, ..]) => {
                return Ok(tensor);
            }
            ("torch._utils._rebuild_tensor_v2", &[storage, Value::Int(offset), dims, strides, ..]) => {
                let Some(Node::Storage(storage)) = self.node(storage) else {
                    return Err("a tensor without a storage".into());
                };
                Node::Tensor(View {
                    storage: storage.clone(),
                    offset: usize::try_from(offset).map_err(|_| "a negative offset")?,
                    dims: self.sizes(dims)?,
                    strides: self.sizes(strides)?,
                })
            }
            ("torch._utils._rebuild_tensor_v2", _) => return Err("a tensor that is described otherwise".into()),
            _ => Node::Object(Object { class: name, state: Value::Nothing, items: Vec::new() }),
        };
        self.push(node);
        self.stack.pop().ok_or_else(|| "a call that gives nothing".into())
    }

    /// Pairs that a dictionary is made of, in a list of tuples or lists.
    fn pairs(&mut self, list: Value) -> Result<Vec<(Value, Value)>, String> {
        let Some(Node::List(items)) = self.node(list) else { return Err("a dictionary of no list".into()) };
        let copied = self.copied + items.len();
        if copied > LONGEST {
            return Err("dictionaries of one list again and again".into());
        }
        let pair = |&item: &Value| match self.node(item) {
            Some(Node::Tuple(pair) | Node::List(pair)) => pair.first_chunk().map(|&[key, value]| (key, value)),
            _ => None,
        };
        let pairs = items.iter().map(pair).collect::<Option<_>>().ok_or("a dictionary of no pairs")?;
        self.copied = copied;
        Ok(pairs)
    }

    fn sizes(&self, of: Value) -> Result<Vec<usize>, String> {
        /// Axes that a tensor may have, as in numpy.
        const AXES: usize = 64;
        let Some(Node::Tuple(values)) = self.node(of) else { return Err("sizes that are no sizes".into()) };
        if values.len() > AXES {
            return Err(format!("a tensor of {} axes, at most {AXES} are read", values.len()));
        }
        let size = |&v: &Value| match v {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        };
        values.iter().map(size).collect::<Option<_>>().ok_or_else(|| "sizes that are no sizes".into())
    }
}
