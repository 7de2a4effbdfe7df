//! `spec.json`: the input and outputs of a model.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::read_description;
use crate::error::{Error, Result};
use imgidx_media::{DecodeRequest, FEATURE_SIDE, Filter, Fit, Frame};
use imgidx_types::ModelId;

/// The description of a model, as stored in `spec.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Short name, for `--model` and `model use`.
    pub name: String,
    /// File name of the graph, in the same folder.
    #[serde(default = "default_file")]
    pub file: String,
    /// BLAKE3 digest of the graph in hexadecimal; checked if present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// SPDX identifier of the weights' licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The input of the graph.
    pub input: InputSpec,
    /// The outputs of the graph.
    pub outputs: OutputSpec,
    /// File with the class names, one per line, in the order of the logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// How vectors are compared.
    #[serde(default)]
    pub distance: Distance,
}

fn default_file() -> String {
    "model.onnx".into()
}

/// How a picture becomes the input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the graph's input; optional if the graph has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Order of the axes.
    pub layout: Layout,
    /// Type of the tensor's elements.
    pub dtype: Element,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How a picture with another aspect ratio is fitted.
    pub resize: Resize,
    /// For `shortest-edge`: the fraction of the shorter side that the centre crop keeps.
    #[serde(default = "one")]
    pub crop: f64,
    /// For `letterbox`: the colour of the bars.
    #[serde(default)]
    pub fill: [u8; 3],
    /// The resampling filter.
    #[serde(default)]
    pub filter: Filter,
    /// For `f32`: the first step multiplies each pixel value (0 to 255) by this.
    #[serde(default = "one_255th")]
    pub scale: f32,
    /// For `f32`: the second step subtracts these values, one for each channel.
    #[serde(default)]
    pub mean: [f32; 3],
    /// For `f32`: the last step divides by these values, one for each channel.
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn one() -> f64 {
    1.0
}

fn one_255th() -> f32 {
    1.0 / 255.0
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// The meaning of the graph's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Name of the output with the vectors.
    pub embedding: String,
    /// Number of components of a vector.
    pub dimension: usize,
    /// How several vectors for one picture are pooled into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Name of the output with the class scores before softmax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits: Option<String>,
}

/// Order of the input's axes: N pictures, C channels, H rows, W columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Channels last.
    #[serde(rename = "NHWC")]
    Nhwc,
    /// Channels first.
    #[serde(rename = "NCHW")]
    Nchw,
}

/// Element type of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Unscaled pixel values, 0 to 255.
    U8,
    /// Pixel values after scaling and normalisation.
    F32,
}

/// How a picture is fitted to the input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Keeps the aspect ratio: scales the shorter side to the input's divided by `crop`, then crops the centre.
    ShortestEdge,
    /// Ignores the aspect ratio: scales both sides to those of the input.
    Squash,
    /// Keeps the aspect ratio: scales the longer side to the input's and fills the rest with bars.
    Letterbox,
}

/// How several vectors are pooled into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token of [N, tokens, D].
    Cls,
    /// The mean over the tokens of [N, tokens, D], or over the positions of [N, D, H, W].
    Mean,
}

/// How two vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// Cosine similarity.
    #[default]
    Cosine,
}

impl ModelSpec {
    /// Reads and checks a `spec.json`.
    ///
    /// # Errors
    /// When the file cannot be read or the spec is invalid.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_description(path)?)
            .map_err(|reason| Error::Model { model: path.display().to_string(), reason })
    }

    /// Parses and checks a spec; the error is the reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let spec: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks the spec on its own, without the graph; the error is the reason.
    pub(super) fn check(&self) -> Result<(), String> {
        let name_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(name_fits) {
            return Err(format!(
                "the name `{}` must have only letters, digits, `-`, `_` and `.`, and not start with `.`",
                self.name
            ));
        }
        for file in [Some(&self.file), self.labels.as_ref()].into_iter().flatten() {
            let mut parts = Path::new(file).components();
            if !matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None)) {
                return Err(format!("`{file}` is not the name of a file in the model's directory"));
            }
        }
        let input = &self.input;
        if !(1..=4096).contains(&input.width) || !(1..=4096).contains(&input.height) {
            return Err(format!("the input is {} × {} pixels, but sides must be 1 to 4096", input.width, input.height));
        }
        if !(input.crop > 0.0 && input.crop <= 1.0) {
            return Err(format!("the crop is {}, but must be above 0 and at most 1", input.crop));
        }
        let numbers = [&input.mean[..], &input.std[..], &[input.scale][..]].concat();
        if !numbers.iter().all(|x| x.is_finite()) || input.std.contains(&0.0) {
            return Err("scale, mean and std must be finite, and std not 0".into());
        }
        if !(1..=65_536).contains(&self.outputs.dimension) {
            return Err(format!("a vector has {} components, but 1 to 65536 are allowed", self.outputs.dimension));
        }
        if self.labels.is_some() && self.outputs.logits.is_none() {
            return Err("it names labels but no logits".into());
        }
        Ok(())
    }

    /// How to scale and crop a picture for the model's input.
    pub fn frame(&self) -> Frame {
        let fit = match self.input.resize {
            Resize::ShortestEdge => Fit::ShortestEdge { crop: self.input.crop },
            Resize::Squash => Fit::Squash,
            Resize::Letterbox => Fit::Letterbox { fill: self.input.fill },
        };
        Frame { fit, width: self.input.width, height: self.input.height, filter: self.input.filter }
    }

    /// What to decode of a picture for the model and for its features.
    pub fn decode_request(&self) -> DecodeRequest {
        DecodeRequest { side: self.shorter_side(), frame: Some(self.frame()), ..DecodeRequest::default() }
    }

    /// The shorter side, in pixels, that the model and the features need. A decoder need not return many more.
    pub fn shorter_side(&self) -> u32 {
        let target = f64::from(self.input.width.max(self.input.height));
        ((target / self.input.crop).ceil() as u32).max(FEATURE_SIDE)
    }

    /// The model's id: a digest of the graph, the labels and everything in the spec that changes the outputs.
    pub(super) fn id(&self, graph: &blake3::Hash, labels: &[String]) -> ModelId {
        let Self { input, outputs, distance, .. } = self;
        let fields = serde_json::to_vec(&IdFields { input, outputs, distance, labels }).expect("a spec is plain data");
        let mut hasher = blake3::Hasher::new();
        hasher.update(graph.as_bytes());
        hasher.update(&fields);
        hasher.finalize().into()
    }
}

/// Everything in a spec that changes the outputs. The id is a digest of its JSON, so a new field must not change the
/// JSON of older specs.
#[derive(Serialize)]
struct IdFields<'a> {
    input: &'a InputSpec,
    outputs: &'a OutputSpec,
    distance: &'a Distance,
    labels: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: &str = r#"{
        "name": "clip", "input": {"layout": "NCHW", "dtype": "f32", "width": 224, "height": 224,
        "resize": "shortest-edge", "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
        "outputs": {"embedding": "image_embeds", "dimension": 512}}"#;

    fn id(text: &str) -> ModelId {
        ModelSpec::parse(text).expect("a good spec").id(&blake3::hash(b"graph"), &[])
    }

    #[test]
    fn what_changes_vectors_changes_the_id_and_a_name_does_not() {
        assert_eq!(id(CLIP), id(&CLIP.replace("\"clip\"", "\"other\"")));
        assert_ne!(id(CLIP), id(&CLIP.replace("0.48", "0.5")));
        assert_ne!(id(CLIP), id(&CLIP.replace("shortest-edge", "squash")));
        let spec = ModelSpec::parse(CLIP).expect("a good spec");
        assert_ne!(spec.id(&blake3::hash(b"a"), &[]), spec.id(&blake3::hash(b"b"), &[]));
    }

    #[test]
    fn a_bad_spec_is_refused_with_the_reason() {
        let cases = [
            (CLIP.replace("\"resize\"", "\"resise\""), "unknown field `resise`"),
            (CLIP.replace("NCHW", "CHW"), "unknown variant `CHW`"),
            (CLIP.replace("\"width\": 224", "\"width\": 0"), "0 × 224"),
            (CLIP.replace("0.27, 0.26, 0.28", "0.27, 0, 0.28"), "std not 0"),
            (CLIP.replace("512", "0"), "0 components"),
            (CLIP.replace("\"clip\"", "\"../clip\""), "the name `../clip`"),
            (CLIP.replace("\"name\"", "\"file\": \"../x.onnx\", \"name\""), "`../x.onnx` is not"),
            (CLIP.replace("\"name\"", "\"labels\": \"labels.txt\", \"name\""), "no logits"),
        ];
        for (text, expected) in cases {
            let reason = ModelSpec::parse(&text).expect_err("a bad spec");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
