//! Runs a graph of ONNX by plain loops in double precision: the operators as the standard describes them.

use super::decode::Fields;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    pub fn new(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{shape:?}");
        Array { shape: shape.to_vec(), values }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Array::new(&self.shape, self.values.iter().map(|&x| f(x)).collect())
    }

    fn at(&self, index: &[usize]) -> f64 {
        self.values[index.iter().zip(&self.shape).fold(0, |at, (i, n)| at * n + i)]
    }

    /// Two arrays of sizes that are the same or 1, aligned at the last.
    fn with(&self, other: &Array, f: impl Fn(f64, f64) -> f64) -> Self {
        let rank = self.shape.len().max(other.shape.len());
        let padded = |a: &Array| [vec![1; rank - a.shape.len()], a.shape.clone()].concat();
        let (a, b) = (padded(self), padded(other));
        let shape: Vec<usize> = a.iter().zip(&b).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
        let of = |array: &Array, sizes: &[usize], index: &[usize]| {
            let at = index.iter().zip(sizes).fold(0, |at, (&i, &n)| at * n + if n == 1 { 0 } else { i });
            array.values[at]
        };
        Array::new(&shape, indices(&shape).map(|i| f(of(self, &a, &i), of(other, &b, &i))).collect())
    }

    /// Folds an axis.
    fn fold(&self, axis: usize, start: f64, f: impl Fn(f64, f64) -> f64) -> Self {
        let mut shape = self.shape.clone();
        let size = shape.remove(axis);
        let value = |index: Vec<usize>| {
            (0..size).fold(start, |sum, k| {
                let mut full = index.clone();
                full.insert(axis, k);
                f(sum, self.at(&full))
            })
        };
        Array::new(&shape, indices(&shape).map(value).collect())
    }
}

fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..shape.iter().product::<usize>()).map(|mut at| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = at % shape[axis];
            at /= shape[axis];
        }
        index
    })
}

/// Every value of the graph for these pixels.
pub fn run(model: &Fields, pixels: &Array) -> BTreeMap<String, Array> {
    let graph = &model.messages(7)[0];
    let mut values = BTreeMap::new();
    for tensor in graph.messages(5) {
        let shape: Vec<usize> = tensor.numbers(1).iter().map(|&n| n as usize).collect();
        let raw = &tensor.bytes(9)[0];
        let numbers = match tensor.numbers(2)[0] {
            1 => raw.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
            7 => raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
            other => panic!("type {other}"),
        };
        values.insert(tensor.texts(8)[0].clone(), Array::new(&shape, numbers));
    }
    values.insert(graph.messages(11)[0].texts(1)[0].clone(), pixels.clone());
    for node in graph.messages(1) {
        let inputs: Vec<&Array> = node.texts(1).iter().map(|name| &values[name]).collect();
        let attributes: BTreeMap<String, Fields> =
            node.messages(5).into_iter().map(|a| (a.texts(1)[0].clone(), a)).collect();
        let ints = |name: &str| attributes[name].numbers(8).into_iter().map(|n| n as usize).collect::<Vec<_>>();
        let found = match node.texts(4)[0].as_str() {
            "Cast" => inputs[0].clone(),
            "Add" => inputs[0].with(inputs[1], |a, b| a + b),
            "Sub" => inputs[0].with(inputs[1], |a, b| a - b),
            "Mul" => inputs[0].with(inputs[1], |a, b| a * b),
            "Div" => inputs[0].with(inputs[1], |a, b| a / b),
            "Max" => inputs[0].with(inputs[1], f64::max),
            "Neg" => inputs[0].map(|x| -x),
            "Log" => inputs[0].map(f64::ln),
            "Floor" => inputs[0].map(f64::floor),
            "Round" => inputs[0].map(f64::round_ties_even),
            "Relu" => inputs[0].map(|x| x.max(0.0)),
            "Tanh" => inputs[0].map(f64::tanh),
            "Sigmoid" => inputs[0].map(|x| 1.0 / (1.0 + (-x).exp())),
            "LeakyRelu" => {
                let slope = f64::from(attributes["alpha"].float(2));
                inputs[0].map(|x| if x > 0.0 { x } else { slope * x })
            }
            "Clip" => inputs[0].with(inputs[1], f64::max).with(inputs[2], f64::min),
            "Reshape" => reshape(inputs[0], &inputs[1].values),
            "Transpose" => transpose(inputs[0], &ints("perm")),
            "Tile" => tile(inputs[0], &inputs[1].values),
            "Squeeze" => Array::new(&inputs[0].shape[1..], inputs[0].values.clone()),
            "MatMul" => product(inputs[0], inputs[1]),
            "Softmax" => softmax(inputs[0]),
            "ReduceMean" => {
                assert_eq!((ints("axes"), attributes["keepdims"].numbers(3)), (vec![0], vec![0]));
                let count = inputs[0].shape[0] as f64;
                inputs[0].fold(0, 0.0, |sum, x| sum + x / count)
            }
            "ReduceSum" => {
                assert_eq!((&inputs[1].values[..], attributes["keepdims"].numbers(3)), (&[-1.0][..], vec![0]));
                inputs[0].fold(inputs[0].shape.len() - 1, 0.0, |sum, x| sum + x)
            }
            "Conv" => {
                let (pads, strides) = (ints("pads"), ints("strides"));
                convolve(&inputs, pads[0], strides[0], attributes["group"].numbers(3)[0] as usize)
            }
            "MaxPool" => pool(inputs[0], &ints("kernel_shape"), &ints("strides"), f64::NEG_INFINITY, f64::max, 1.0),
            "AveragePool" => {
                let count: usize = ints("kernel_shape").iter().product();
                pool(inputs[0], &ints("kernel_shape"), &ints("strides"), 0.0, |a, b| a + b, count as f64)
            }
            other => panic!("operator {other}"),
        };
        values.insert(node.texts(2)[0].clone(), found);
    }
    values
}

fn reshape(x: &Array, sizes: &[f64]) -> Array {
    let mut shape: Vec<usize> = Vec::new();
    for (axis, &size) in sizes.iter().enumerate() {
        shape.push(match size as i64 {
            0 => x.shape[axis],
            -1 => x.values.len() / sizes.iter().filter(|s| **s > 0.0).product::<f64>() as usize,
            n => n as usize,
        });
    }
    Array::new(&shape, x.values.clone())
}

fn transpose(x: &Array, order: &[usize]) -> Array {
    let shape: Vec<usize> = order.iter().map(|&axis| x.shape[axis]).collect();
    let value = |index: Vec<usize>| {
        let mut from = vec![0; index.len()];
        order.iter().zip(index).for_each(|(&axis, i)| from[axis] = i);
        x.at(&from)
    };
    Array::new(&shape, indices(&shape).map(value).collect())
}

fn tile(x: &Array, repeats: &[f64]) -> Array {
    let shape: Vec<usize> = x.shape.iter().zip(repeats).map(|(&n, &r)| n * r as usize).collect();
    let from = |index: Vec<usize>| index.iter().zip(&x.shape).map(|(i, n)| i % n).collect::<Vec<_>>();
    Array::new(&shape, indices(&shape).map(|index| x.at(&from(index))).collect())
}

/// `[1 or S][N][K]` times `[S][K][M]`.
fn product(a: &Array, b: &Array) -> Array {
    let shape = [b.shape[0], a.shape[1], b.shape[2]];
    let row = |s: usize| if a.shape[0] == 1 { 0 } else { s };
    let value = |i: Vec<usize>| (0..b.shape[1]).map(|k| a.at(&[row(i[0]), i[1], k]) * b.at(&[i[0], k, i[2]])).sum();
    Array::new(&shape, indices(&shape).map(value).collect())
}

fn softmax(x: &Array) -> Array {
    let classes = x.shape[x.shape.len() - 1];
    let row = |row: &[f64]| {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|l| (l - most).exp()).sum();
        row.iter().map(|l| (l - most).exp() / sum).collect::<Vec<_>>()
    };
    Array::new(&x.shape, x.values.chunks_exact(classes).flat_map(row).collect())
}

fn convolve(inputs: &[&Array], padding: usize, stride: usize, groups: usize) -> Array {
    let (x, w, b) = (inputs[0], inputs[1], inputs[2]);
    let (side, kernel) = ([x.shape[2], x.shape[3]], w.shape[2]);
    let out = side.map(|n| (n + 2 * padding - kernel) / stride + 1);
    let shape = [x.shape[0], w.shape[0], out[0], out[1]];
    let per_group = w.shape[0] / groups;
    let value = |i: Vec<usize>| {
        let mut sum = b.values[i[1]];
        for c in 0..w.shape[1] {
            for (r, q) in (0..kernel).flat_map(|r| (0..kernel).map(move |q| (r, q))) {
                let place = [i[2] * stride + r, i[3] * stride + q].map(|p| p.checked_sub(padding));
                if let [Some(row), Some(column)] = place
                    && row < side[0]
                    && column < side[1]
                {
                    let channel = i[1] / per_group * w.shape[1] + c;
                    sum += w.at(&[i[1], c, r, q]) * x.at(&[i[0], channel, row, column]);
                }
            }
        }
        sum
    };
    Array::new(&shape, indices(&shape).map(value).collect())
}

fn pool(
    x: &Array,
    kernel: &[usize],
    strides: &[usize],
    start: f64,
    f: impl Fn(f64, f64) -> f64,
    divisor: f64,
) -> Array {
    let out = [2, 3].map(|axis| (x.shape[axis] - kernel[axis - 2]) / strides[axis - 2] + 1);
    let shape = [x.shape[0], x.shape[1], out[0], out[1]];
    let value = |i: Vec<usize>| {
        let window = (0..kernel[0]).flat_map(|r| (0..kernel[1]).map(move |q| (r, q)));
        let at = |(r, q)| x.at(&[i[0], i[1], i[2] * strides[0] + r, i[3] * strides[1] + q]);
        window.map(at).fold(start, &f) / divisor
    };
    Array::new(&shape, indices(&shape).map(value).collect())
}
