//! The stack machine of pickle, cut down to what the description of one tensor needs. Nothing is ever called: the two
//! calls such a description contains are recognised by name and become a storage and a tensor.

use std::rc::Rc;

/// A description is some 160 bytes; longer ones are refused, which also bounds depth and memory.
const LONGEST: usize = 4096;

/// Where the numbers are.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// Name of the class that says the type, such as `FloatStorage`.
    pub kind: String,
    /// Last part of the entry's name.
    pub key: String,
}

/// What a description says.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub storage: Storage,
    /// First number of the tensor in the storage.
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Value {
    Mark,
    Nothing,
    Int(i64),
    Text(Rc<str>),
    Global(Rc<str>),
    Tuple(Rc<[Value]>),
    Storage(Rc<Storage>),
    Tensor(Rc<Description>),
}

struct Machine<'a> {
    code: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: Vec<(u32, Value)>,
}

/// Reads the description of one tensor.
pub(super) fn read(code: &[u8]) -> Result<Description, String> {
    if code.len() > LONGEST {
        return Err(format!("a description of {} bytes, more than one tensor needs", code.len()));
    }
    let mut machine = Machine { code, at: 0, stack: Vec::new(), memo: Vec::new() };
    while !machine.step()? {}
    match machine.pop()? {
        Value::Tensor(tensor) if machine.stack.is_empty() => Ok((*tensor).clone()),
        _ => Err("an object that is not a single tensor".into()),
    }
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
            b'N' | b'}' | 0x88 | 0x89 => self.stack.push(Value::Nothing),
            b')' => self.stack.push(Value::Tuple(Rc::new([]))),
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => self.int(4)?,
            0x8a => {
                let size = self.byte()?;
                self.long(usize::from(size))?;
            }
            b'X' => {
                let size = self.size(4)?;
                self.text(size)?;
            }
            0x8c => {
                let size = self.size(1)?;
                self.text(size)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(format!("{module}.{name}").into()));
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => {
                    self.stack.push(Value::Global(format!("{module}.{name}").into()));
                }
                _ => return Err("a name that is no text".into()),
            },
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b't' => {
                let mark =
                    self.stack.iter().rposition(|v| matches!(v, Value::Mark)).ok_or("a tuple without a start")?;
                let items = self.stack.split_off(mark + 1);
                self.stack[mark] = Value::Tuple(items.into());
            }
            size @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(size - 0x84)).ok_or("a tuple of too little")?;
                let items = self.stack.split_off(from);
                self.stack.push(Value::Tuple(items.into()));
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(storage(&id)?);
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.stack.push(call(&function, &arguments)?);
            }
            other => return Err(format!("pickle instruction 0x{other:02x} at byte {at}, which no tensor needs")),
        }
        Ok(false)
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
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.code[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a name without end (truncated)")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map(String::from).map_err(|_| "a name that is not UTF-8".into())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "a description that takes what is not there".into())
    }

    fn put(&mut self, bytes: usize) -> Result<(), String> {
        let key = self.size(bytes)?;
        self.remember(key)
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let top = self.stack.last().cloned().ok_or("a description that keeps what is not there")?;
        self.memo.push((key, top));
        Ok(())
    }

    fn get(&mut self, bytes: usize) -> Result<(), String> {
        let key = self.size(bytes)?;
        let kept = self.memo.iter().rev().find(|m| m.0 == key).map(|m| m.1.clone());
        self.stack.push(kept.ok_or("a description that recalls what was never kept")?);
        Ok(())
    }
}

/// The storage that ('storage', class, key, place, number of elements) names.
fn storage(id: &Value) -> Result<Value, String> {
    if let Value::Tuple(items) = id
        && let [Value::Text(what), Value::Global(class), Value::Text(key), Value::Text(_), Value::Int(_)] = &items[..]
        && &**what == "storage"
        && let Some(kind) = class.strip_prefix("torch.")
    {
        return Ok(Value::Storage(Rc::new(Storage { kind: kind.into(), key: String::from(&**key) })));
    }
    Err("a reference that is no storage".into())
}

fn call(function: &Value, arguments: &Value) -> Result<Value, String> {
    let (Value::Global(name), Value::Tuple(arguments)) = (function, arguments) else {
        return Err("a call of something that is no function".into());
    };
    match (&**name, &arguments[..]) {
        // The hooks of a tensor: always empty in a file that this reads.
        ("collections.OrderedDict", []) => Ok(Value::Nothing),
        (
            "torch._utils._rebuild_tensor_v2",
            [Value::Storage(storage), Value::Int(offset), Value::Tuple(dims), Value::Tuple(strides), ..],
        ) => Ok(Value::Tensor(Rc::new(Description {
            storage: (**storage).clone(),
            offset: usize::try_from(*offset).map_err(|_| "a negative offset")?,
            dims: sizes(dims)?,
            strides: sizes(strides)?,
        }))),
        _ => Err(format!("a call of {name:?}, which no plain tensor needs")),
    }
}

fn sizes(values: &[Value]) -> Result<Vec<usize>, String> {
    let size = |v: &Value| match v {
        Value::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    values.iter().map(size).collect::<Option<_>>().ok_or_else(|| "sizes that are no sizes".into())
}
