//! Derives the output half of a spec from the graph, for folders that only have a `preprocessor_config.json`.

use super::onnx::Port;
use super::spec::{OutputSpec, Pooling};

/// Names that exporters use for the output with the vectors, the best choice first.
const KNOWN_OUTPUTS: [&str; 6] =
    ["image_embeds", "embedding", "sentence_embedding", "pooler_output", "last_hidden_state", "features"];

/// Finds the output that holds the vectors; the error is the reason.
pub(super) fn output_spec(outputs: &[Port]) -> Result<OutputSpec, String> {
    let by_name = KNOWN_OUTPUTS.iter().find_map(|name| outputs.iter().find(|port| port.name == *name));
    let embedding = match (by_name, outputs) {
        (Some(port), _) => port,
        (None, [only]) => only,
        (None, _) => {
            let names: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
            return Err(format!(
                "cannot tell which of the outputs {} holds the vectors; a `spec.json` must name it",
                names.join(", ")
            ));
        }
    };
    embedding.check_floats()?;
    let (dimension, pooling) = match embedding.shape.as_slice() {
        [_, width] | [_, width, 1, 1] => (*width, None),
        // In vision transformers the first token stands for the whole picture.
        [_, _, width] => (*width, Some(Pooling::Cls)),
        [_, channels, _, _] => (*channels, Some(Pooling::Mean)),
        shape => return Err(format!("its output `{}` has the shape {shape:?}", embedding.name)),
    };
    let dimension = usize::try_from(dimension).map_err(|_| {
        format!("the length of its output `{}` is not fixed; a `spec.json` must state it", embedding.name)
    })?;
    Ok(OutputSpec { embedding: embedding.name.clone(), dimension, pooling, logits: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, shape: &[i64]) -> Port {
        Port { name: name.into(), kind: "f32".into(), shape: shape.into() }
    }

    #[test]
    fn the_usual_exports_are_understood() {
        let clip = output_spec(&[port("last_hidden_state", &[-1, 50, 768]), port("image_embeds", &[-1, 512])]);
        assert_eq!(
            clip.map(|spec| (spec.embedding, spec.dimension, spec.pooling)),
            Ok(("image_embeds".into(), 512, None))
        );
        let dino = output_spec(&[port("last_hidden_state", &[-1, -1, 384])]).expect("DINOv2");
        assert_eq!((dino.dimension, dino.pooling), (384, Some(Pooling::Cls)));
        let resnet = output_spec(&[port("pooler_output", &[-1, 2048, 1, 1])]).expect("ResNet");
        assert_eq!((resnet.dimension, resnet.pooling), (2048, None));
    }

    #[test]
    fn an_ambiguous_graph_is_refused_with_the_reason() {
        assert!(output_spec(&[port("a", &[-1, 2]), port("b", &[-1, 2])]).is_err_and(|reason| reason.contains("a, b")));
        assert!(output_spec(&[port("a", &[-1, -1])]).is_err_and(|reason| reason.contains("not fixed")));
    }
}
