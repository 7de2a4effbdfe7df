//! Everything known about one picture, from the index if the picture is indexed, otherwise from the picture itself.

use std::path::PathBuf;
use std::sync::Arc;

use super::companions::Shots;
use super::query::QueryImage;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::media::{Content, Decoded, Kind, read_named_picture, sniff};
use crate::model::Embedded;
use crate::store::{ModelRow, Store};
use crate::types::{Classification, ContentHash, Embedding, Features, ImageId, ImageInfo, Metadata, Stage};

/// Everything known about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// Its path, or its name if it is not a file.
    pub path: PathBuf,
    /// Digest of its content.
    pub hash: ContentHash,
    /// Length in bytes.
    pub bytes: u64,
    /// Row id of its image, if it is in the index.
    pub row: Option<ImageId>,
    /// What decoding reveals: format, dimensions and so on.
    pub info: ImageInfo,
    /// What it says of itself.
    pub metadata: Metadata,
    /// Its vector.
    pub embedding: Embedding,
    /// Its best classes, with their scores.
    pub classes: Vec<Classification>,
    /// Its visual features; `None` if it was indexed before features were measured.
    pub features: Option<Features>,
    /// Other indexed files of the same shot, such as its raw file.
    pub companions: Vec<PathBuf>,
    /// Whether the vector was taken from the index.
    pub indexed: bool,
}

/// Examines a picture. It is decoded only if the index has no vector of it.
///
/// # Errors
/// If the picture cannot be read or decoded, or the model fails on it.
pub(super) fn examine(
    image: &QueryImage,
    store: &Store,
    model: ModelRow,
    encoder: impl FnOnce() -> Result<Arc<Encoder>>,
) -> Result<Examined> {
    let Content { bytes: content, hash, size: bytes, format } = read(image)?;
    let path = image.name().to_owned();
    let row = store.image(&hash)?;
    if let Some(image) = row
        && let Some(vector) = store.vector_of(image, model)?
        && let Some(info) = store.info_of(image)?
    {
        let (embedding, classes) = (vector.embedding, store.classes(image, model)?);
        let features = store.features(image)?;
        // An older version stored nothing but the date.
        let metadata = store.metadata_of(image)?;
        let metadata = metadata.unwrap_or_else(|| Metadata { taken: info.taken.clone(), ..Metadata::default() });
        let companions = Shots::default().add(store, image, &store.paths_of(image)?)?;
        let indexed = true;
        return Ok(Examined {
            path,
            hash,
            bytes,
            row,
            info,
            metadata,
            embedding,
            classes,
            features,
            companions,
            indexed,
        });
    }
    let encoder = encoder()?;
    let Decoded { info, metadata, features, pixels, .. } = encoder
        .decode(&content, format)
        .map_err(|error| Error::Picture { path: path.clone(), stage: Stage::Decode, reason: error.to_string() })?;
    let Embedded { embedding, classes } = encoder.encode(pixels.expect("the decode request asks for pixels"))?;
    let features = Some(features);
    let (companions, indexed) = (Vec::new(), false);
    Ok(Examined { path, hash, bytes, row, info, metadata, embedding, classes, features, companions, indexed })
}

/// The content of a picture.
pub(super) fn read(image: &QueryImage) -> Result<Content> {
    let failed = |reason: String| Error::Picture { path: image.name().to_owned(), stage: Stage::Read, reason };
    match image {
        QueryImage::Path(path) => read_named_picture(path).map_err(failed),
        QueryImage::Bytes { bytes, .. } => match sniff(bytes, None) {
            Kind::Picture(format) => {
                Ok(Content { bytes: bytes.clone(), hash: ContentHash::of(bytes), size: bytes.len() as u64, format })
            }
            Kind::Unsupported(name) => Err(failed(format!("{name} is not supported"))),
            Kind::Other => Err(failed("not a picture".into())),
        },
    }
}
