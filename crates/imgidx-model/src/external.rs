//! Detects graphs that store weights in other files.
//!
//! A graph may store tensors in other files, under any path. imgidx loads a graph from memory, so ONNX Runtime would
//! look for these files in the working directory. Such graphs are therefore refused with a reason, whatever the
//! installed version of ONNX Runtime does with them.

/// The messages of `onnx.proto` (<https://github.com/onnx/onnx>) that can contain tensors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
    Function,
    Training,
}

impl Message {
    /// The type of message in a field, if it can contain tensors.
    fn field(self, number: u64) -> Option<Self> {
        use Message::{Attribute, Function, Graph, Model, Node, SparseTensor, Tensor, Training};
        Some(match (self, number) {
            (Model, 7) | (Attribute, 6 | 11) | (Training, 1 | 2) => Graph,
            (Model, 20) => Training,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 5) | (Attribute, 5 | 10) | (SparseTensor, 1 | 2) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => SparseTensor,
            (Node, 5) => Attribute,
            _ => return None,
        })
    }
}

/// Maximum nesting of messages.
const MAX_DEPTH: u32 = 64;

/// Fields of a tensor: the file with its data, and whether the data is in a file at all.
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// Whether a graph stores any tensor in another file. Bytes that are not a graph do not.
pub(super) fn has_external_data(graph: &[u8]) -> bool {
    is_external(graph, Message::Model, MAX_DEPTH)
}

fn is_external(bytes: &[u8], message: Message, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    let mut rest = bytes;
    while let Some((number, value)) = next_field(&mut rest) {
        let is_external_tensor = message == Message::Tensor
            && match (number, &value) {
                (DATA_LOCATION, Value::Number(location)) => *location != 0,
                (EXTERNAL_DATA, Value::Bytes(_)) => true,
                _ => false,
            };
        let is_nested = match (message.field(number), value) {
            (Some(inner), Value::Bytes(bytes)) => is_external(bytes, inner, depth),
            _ => false,
        };
        if is_external_tensor || is_nested {
            return true;
        }
    }
    false
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes the next field (<https://protobuf.dev/programming-guides/encoding>); `None` at the end or on invalid data.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => Value::Bytes(take(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Bytes(take(rest, 4)?),
        _ => return None,
    };
    Some((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        assert!(number < 16 && bytes.len() < 128);
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn tensors_in_other_files_are_found_wherever_they_are() {
        let inside = field(1, b"name");
        let outside = [field(13, &field(1, b"location")), vec![14 << 3, 1]].concat();
        let graph = |tensor: &[u8]| field(7, &field(5, tensor));
        assert!(!has_external_data(&graph(&inside)) && has_external_data(&graph(&outside)));
        assert!(has_external_data(&graph(&[14 << 3, 1])) && !has_external_data(&graph(&[14 << 3, 0])));
        // In an attribute of a node of a graph in an attribute of a node.
        let nested = |tensor: &[u8]| {
            let inner = field(1, &field(5, &field(5, tensor)));
            field(7, &field(1, &field(5, &field(6, &inner))))
        };
        assert!(!has_external_data(&nested(&inside)) && has_external_data(&nested(&outside)));
        assert!(!has_external_data(b"") && !has_external_data(&[0xFF; 40]) && !has_external_data(b"no graph at all"));
    }

    #[test]
    fn the_built_in_graph_contains_all_of_its_weights() {
        assert!(!has_external_data(crate::builtin::GRAPH));
    }
}
