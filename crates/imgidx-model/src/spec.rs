//! `spec.json`: how pictures go into a graph, and what comes out.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::read_description;
use crate::error::{Error, Result};
use imgidx_media::{DecodeRequest, FEATURE_SIDE, Filter, Fit, Frame};
use imgidx_types::ModelId;

/// The description of a model, as it stands in `spec.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Short name, for `--model` and `model use`.
    pub name: String,
    /// File name of the graph, in the same folder.
    #[serde(default = "default_file")]
    pub file: String,
    /// BLAKE3 of the graph in hexadecimal digits; checked when it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// SPDX identifier of the weights' licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What goes in.
    pub input: InputSpec,
    /// What comes out.
    pub outputs: OutputSpec,
    /// File name of the class names, one on a line in the order of the logits.
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
    /// Name of the graph's input; the only input where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Order of the axes.
    pub layout: Layout,
    /// Type of the numbers.
    pub dtype: Element,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// How a picture of another shape is fitted.
    pub resize: Resize,
    /// For `shortest-edge`: the share of the shorter side that the centre crop keeps.
    #[serde(default = "one")]
    pub crop: f64,
    /// For `letterbox`: the colour of the bars.
    #[serde(default)]
    pub fill: [u8; 3],
    /// The interpolation.
    #[serde(default)]
    pub filter: Filter,
    /// For `f32`: what a pixel value of 0 to 255 is multiplied with first.
    #[serde(default = "one_255th")]
    pub scale: f32,
    /// For `f32`: what is subtracted from each channel after that.
    #[serde(default)]
    pub mean: [f32; 3],
    /// For `f32`: what each channel is divided by at last.
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

/// What the graph's outputs mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Name of the output with the vectors.
    pub embedding: String,
    /// Components of a vector.
    pub dimension: usize,
    /// How one vector is made of an output with more than one for each picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Name of the output with one number for each class, before softmax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits: Option<String>,
}

/// Order of the axes of the input: N pictures, C channels, H rows, W columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Channels last.
    #[serde(rename = "NHWC")]
    Nhwc,
    /// Channels first.
    #[serde(rename = "NCHW")]
    Nchw,
}

/// Type of the input's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Raw pixels, 0 to 255.
    U8,
    /// Scaled and normalised.
    F32,
}

/// How a picture is fitted into the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The shorter side fills it and the centre is cut out.
    ShortestEdge,
    /// Both sides fill it.
    Squash,
    /// The longer side fills it, between bars.
    Letterbox,
}

/// How one vector is made of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token, of [N, tokens, D].
    Cls,
    /// The mean over the tokens of [N, tokens, D], or over the places of [N, D, H, W].
    Mean,
}

/// How two vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// By the cosine of their angle.
    #[default]
    Cosine,
}

impl ModelSpec {
    /// Reads and checks a `spec.json`.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense by itself.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_description(path)?)
            .map_err(|reason| Error::Model { model: path.display().to_string(), reason })
    }

    /// Reads and checks the text of a spec; the error is the reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let spec: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    /// Whether the spec makes sense by itself; the error is the reason.
    pub(super) fn check(&self) -> Result<(), String> {
        let name_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(name_fits) {
            return Err(format!(
                "the name `{}` has other characters than letters, digits, `-`, `_` and `.`",
                self.name
            ));
        }
        for file in [Some(&self.file), self.labels.as_ref()].into_iter().flatten() {
            let mut parts = Path::new(file).components();
            if !matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None)) {
                return Err(format!("`{file}` is not the name of a file in the model's folder"));
            }
        }
        let input = &self.input;
        if !(1..=4096).contains(&input.width) || !(1..=4096).contains(&input.height) {
            return Err(format!("an input of {} × {} pixels", input.width, input.height));
        }
        if !(input.crop > 0.0 && input.crop <= 1.0) {
            return Err(format!("the crop is {}, and has to be above 0 and at most 1", input.crop));
        }
        let numbers = [&input.mean[..], &input.std[..], &[input.scale][..]].concat();
        if !numbers.iter().all(|x| x.is_finite()) || input.std.contains(&0.0) {
            return Err("scale, mean and std have to be finite, and std not 0".into());
        }
        if !(1..=65_536).contains(&self.outputs.dimension) {
            return Err(format!("a vector of {} components", self.outputs.dimension));
        }
        if self.labels.is_some() && self.outputs.logits.is_none() {
            return Err("there are labels, but no logits".into());
        }
        Ok(())
    }

    /// The pixels that the model wants of a picture.
    pub fn frame(&self) -> Frame {
        let fit = match self.input.resize {
            Resize::ShortestEdge => Fit::ShortestEdge { crop: self.input.crop },
            Resize::Squash => Fit::Squash,
            Resize::Letterbox => Fit::Letterbox { fill: self.input.fill },
        };
        Frame { fit, width: self.input.width, height: self.input.height, filter: self.input.filter }
    }

    /// What is wanted of a picture for the model, and for its features.
    pub fn decode_request(&self) -> DecodeRequest {
        DecodeRequest { side: self.shorter_side(), feature_time: None, frame: Some(self.frame()), alpha: false }
    }

    /// What the shorter side of a picture is scaled down to, at most, in pixels, for the model and for the features: a decoder need
    /// not give many more.
    pub fn shorter_side(&self) -> u32 {
        let target = f64::from(self.input.width.max(self.input.height));
        ((target / self.input.crop).ceil() as u32).max(FEATURE_SIDE)
    }

    /// The model's id: the digest of the graph, the labels, and of all in the spec that changes what comes out.
    pub(super) fn id(&self, graph: &blake3::Hash, labels: &[String]) -> ModelId {
        let Self { input, outputs, distance, .. } = self;
        let meaning = serde_json::to_vec(&Meaning { input, outputs, distance, labels }).expect("a spec is plain data");
        let mut hasher = blake3::Hasher::new();
        hasher.update(graph.as_bytes());
        hasher.update(&meaning);
        hasher.finalize().into()
    }
}

/// All of a spec that changes what comes out. Its JSON is digested, so that fields may only be added in a way that
/// leaves the JSON of older specs as it is.
#[derive(Serialize)]
struct Meaning<'a> {
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
