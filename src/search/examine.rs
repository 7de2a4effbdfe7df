//! Everything that is known of one picture, from the index where it is there, and else from the picture itself.

use std::path::PathBuf;
use std::sync::Arc;

use super::query::QueryImage;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::media::{Decoded, Format, Kind, read_named_picture, sniff};
use crate::model::Embedded;
use crate::store::{ModelRow, Store};
use crate::types::{Classification, ContentHash, Embedding, Features, ImageId, ImageInfo, Stage};

/// What is known of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// Its path, or the name of what has none.
    pub path: PathBuf,
    /// Its content.
    pub hash: ContentHash,
    /// Length in bytes.
    pub bytes: u64,
    /// Its row, if it is in the index.
    pub row: Option<ImageId>,
    /// What decoding tells.
    pub info: ImageInfo,
    /// The model's vector of it.
    pub embedding: Embedding,
    /// The best classes.
    pub classes: Vec<Classification>,
    /// What it looks like; `None` if it is in the index from before this was measured.
    pub features: Option<Features>,
    /// Whether the vector was taken from the index.
    pub indexed: bool,
}

/// Examines a picture. It is only looked at if the index has no vector of it.
///
/// # Errors
/// When it cannot be read or decoded, or the model fails on it.
pub(crate) fn examine(
    image: &QueryImage,
    store: &Store,
    model: ModelRow,
    encoder: impl FnOnce() -> Result<Arc<Encoder>>,
) -> Result<Examined> {
    let (content, format, hash) = read(image)?;
    let (path, bytes) = (image.name().to_owned(), content.len() as u64);
    let row = store.image(&hash)?;
    if let Some(image) = row
        && let Some(vector) = store.vector_of(image, model)?
        && let Some(info) = store.info_of(image)?
    {
        let (embedding, classes) = (vector.embedding, store.classes(image, model)?);
        let features = store.features(image)?;
        return Ok(Examined { path, hash, bytes, row, info, embedding, classes, features, indexed: true });
    }
    let undecodable = |reason: String| Error::Picture { path: path.clone(), stage: Stage::Decode, reason };
    let encoder = encoder()?;
    let decoded = encoder.decode(&content, format).map_err(|error| undecodable(error.to_string()))?;
    let Decoded { info, features, pixels, .. } = decoded;
    let Embedded { embedding, classes } = encoder.encode(pixels.expect("they were asked for"))?;
    let features = Some(features);
    Ok(Examined { path, hash, bytes, row, info, embedding, classes, features, indexed: false })
}

/// The digest of a picture file's content.
///
/// # Errors
/// When it cannot be read, or is no picture.
pub(crate) fn content_of(image: &QueryImage) -> Result<ContentHash> {
    read(image).map(|(_, _, hash)| hash)
}

fn read(image: &QueryImage) -> Result<(Vec<u8>, Format, ContentHash)> {
    let failed = |reason: String| Error::Picture { path: image.name().to_owned(), stage: Stage::Read, reason };
    match image {
        QueryImage::Path(path) => {
            let content = read_named_picture(path).map_err(failed)?;
            Ok((content.bytes, content.format, content.hash))
        }
        QueryImage::Bytes { bytes, .. } => match sniff(bytes, None) {
            Kind::Picture(format) => Ok((bytes.clone(), format, ContentHash::of(bytes))),
            Kind::Unsupported(name) => Err(failed(format!("{name} is not supported"))),
            Kind::Other => Err(failed("not a picture".into())),
        },
    }
}
