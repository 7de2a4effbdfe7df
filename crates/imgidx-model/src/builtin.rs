//! The model that is embedded in the program: EfficientNet-Lite0. `models/README.md` is its model card.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::spec::ModelSpec;
use super::vocabulary::other_name;
use super::{Graph, Model};

/// Name of the built-in model.
pub const BUILTIN_NAME: &str = "efficientnet-lite0";

pub(super) const GRAPH: &[u8] = include_bytes!("../data/model.onnx");
const SPEC: &str = include_str!("../data/spec.json");
const LABELS: &str = include_str!("../data/labels.txt");

impl Model {
    /// The built-in model.
    pub fn builtin() -> Self {
        static MODEL: LazyLock<Model> = LazyLock::new(|| {
            let spec = ModelSpec::parse(SPEC).expect("the built-in spec is well-formed");
            let mut labels: Vec<String> = LABELS.lines().map(str::to_owned).collect();
            let id = spec.id(&blake3::hash(GRAPH), &labels);
            // Two classes are called crane and two are called maillot, so one of each gets a second name. The id above
            // was computed from the labels as they are in the file.
            let mut seen = HashSet::new();
            for (class, label) in labels.iter_mut().enumerate() {
                if !seen.insert(label.clone()) {
                    *label += &other_name(class).map(|name| format!(" ({name})")).unwrap_or_default();
                }
            }
            Model { spec, id, labels: labels.into(), graph: Graph::BuiltIn(GRAPH) }
        });
        MODEL.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_spec_fits_its_labels_and_digest() {
        let model = Model::builtin();
        assert_eq!(model.spec().name, BUILTIN_NAME);
        assert_eq!(model.labels().len(), 1000);
        assert_eq!(model.spec().digest.as_deref(), Some(blake3::hash(GRAPH).to_hex().as_str()));
    }
}
