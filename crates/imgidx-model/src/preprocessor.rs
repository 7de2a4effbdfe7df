//! Reads `preprocessor_config.json`, which Hugging Face's Transformers writes next to its image models.

use serde_json::{Map, Value};

use super::spec::{Element, InputSpec, Layout, Resize};
use imgidx_media::Filter;

/// Converts a preprocessor configuration into the input half of a spec; the error is the reason.
pub(super) fn input_spec(text: &str) -> Result<InputSpec, String> {
    let config: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let size = config.get("size").map(Size::read).transpose()?;
    let crops = flag(&config, "do_center_crop", config.contains_key("crop_size"));
    let crop = if crops { config.get("crop_size").map(Size::read).transpose()? } else { None };
    let (resize, crop, (width, height)) = match (size, crop) {
        (Some(Size::ShortestEdge(edge)), None) => {
            let crop = number(&config, "crop_pct")?.unwrap_or(1.0);
            (Resize::ShortestEdge, f64::from(crop), (edge, edge))
        }
        // A bare number is the shorter side if a crop follows; otherwise it is both sides.
        (Some(Size::ShortestEdge(edge) | Size::Number(edge)), Some(crop)) => {
            let (width, height) = crop.sides();
            (Resize::ShortestEdge, f64::from(width.min(height)) / f64::from(edge.max(1)), (width, height))
        }
        (Some(size @ (Size::Number(_) | Size::Sides(..))), None) => (Resize::Squash, 1.0, size.sides()),
        (Some(Size::Sides(width, height)), Some(crop)) if crop.sides() == (width, height) => {
            (Resize::Squash, 1.0, (width, height))
        }
        (Some(Size::Sides(..)), Some(_)) => {
            return Err("resizing to a fixed width and height and then cropping is not supported".into());
        }
        (None, _) => return Err("it has no `size`".into()),
    };
    if crop > 1.0 {
        return Err("its crop is larger than the resized picture".into());
    }
    let normalizes = flag(&config, "do_normalize", true);
    let channels = |key: &str, default: f32| match config.get(key) {
        Some(value) if normalizes => {
            serde_json::from_value(value.clone()).map_err(|_| format!("`{key}` is not three numbers"))
        }
        _ => Ok([default; 3]),
    };
    let rescales = flag(&config, "do_rescale", true);
    let scale = if rescales { number(&config, "rescale_factor")?.unwrap_or(1.0 / 255.0) } else { 1.0 };
    Ok(InputSpec {
        name: None,
        layout: Layout::Nchw,
        dtype: Element::F32,
        width,
        height,
        resize,
        crop,
        fill: [0; 3],
        filter: filter(&config)?,
        scale,
        mean: channels("image_mean", 0.0)?,
        std: channels("image_std", 1.0)?,
    })
}

/// `size` and `crop_size`: a number, the shortest edge, or both sides.
#[derive(Clone, Copy)]
enum Size {
    Number(u32),
    ShortestEdge(u32),
    Sides(u32, u32),
}

impl Size {
    fn read(value: &Value) -> Result<Self, String> {
        let side = |value: &Value| value.as_u64().and_then(|side| u32::try_from(side).ok());
        let found = match value {
            Value::Object(fields) => match (fields.get("shortest_edge"), fields.get("width"), fields.get("height")) {
                (Some(edge), ..) => side(edge).map(Self::ShortestEdge),
                (None, Some(width), Some(height)) => side(width).zip(side(height)).map(|(w, h)| Self::Sides(w, h)),
                _ => None,
            },
            number => side(number).map(Self::Number),
        };
        found.ok_or_else(|| format!("the size {value} is not supported"))
    }

    fn sides(self) -> (u32, u32) {
        match self {
            Self::Number(side) | Self::ShortestEdge(side) => (side, side),
            Self::Sides(width, height) => (width, height),
        }
    }
}

fn flag(config: &Map<String, Value>, key: &str, default: bool) -> bool {
    config.get(key).and_then(Value::as_bool).unwrap_or(default)
}

fn number(config: &Map<String, Value>, key: &str) -> Result<Option<f32>, String> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(|x| Some(x as f32)).ok_or_else(|| format!("`{key}` is not a number")),
    }
}

/// `resample` is Pillow's number for the filter.
fn filter(config: &Map<String, Value>) -> Result<Filter, String> {
    match config.get("resample").map(Value::as_u64) {
        Some(Some(0)) => Ok(Filter::Nearest),
        Some(Some(1)) => Ok(Filter::Lanczos),
        None | Some(Some(2)) => Ok(Filter::Bilinear),
        Some(Some(3)) => Ok(Filter::Bicubic),
        _ => Err("`resample` must be 0, 1, 2 or 3".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_resizes_its_shortest_edge_and_crops() {
        let input = input_spec(
            r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_normalize": true,
                "image_mean": [0.48, 0.45, 0.40], "image_std": [0.26, 0.26, 0.27], "resample": 3,
                "size": {"shortest_edge": 224}, "image_processor_type": "CLIPImageProcessor"}"#,
        )
        .expect("CLIP's configuration");
        assert_eq!((input.resize, input.crop, input.width), (Resize::ShortestEdge, 1.0, 224));
        assert_eq!((input.filter, input.mean[0], input.std[2]), (Filter::Bicubic, 0.48, 0.27));
    }

    #[test]
    fn dino_crops_224_out_of_256() {
        let text = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3}"#;
        let input = input_spec(text).expect("DINOv2's configuration");
        assert_eq!((input.resize, input.crop, input.height), (Resize::ShortestEdge, 0.875, 224));
    }

    #[test]
    fn siglip_squashes() {
        let text = r#"{"size": {"height": 256, "width": 256}, "rescale_factor": 0.00392156862745098,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}"#;
        let input = input_spec(text).expect("SigLIP's configuration");
        assert_eq!((input.resize, input.width, input.filter), (Resize::Squash, 256, Filter::Bilinear));
        assert!((input.scale - 1.0 / 255.0).abs() < 1e-9);
    }

    #[test]
    fn an_unsupported_configuration_is_refused_with_the_reason() {
        for (text, expected) in [
            ("{}", "no `size`"),
            (r#"{"size": {"longest_edge": 5}}"#, "the size {\"longest_edge\":5} is not supported"),
            (r#"{"size": 224, "resample": 9}"#, "`resample`"),
            (r#"{"size": 224, "image_mean": 0.5}"#, "`image_mean`"),
            ("[", "expected a map"),
        ] {
            let reason = input_spec(text).expect_err("an unsupported configuration");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
