//! Features of images, one row per image.

use rusqlite::{Row, params};

use super::Store;
use super::batch::Batch;
use super::orphans::OrphanState;
use crate::error::Result;
use crate::types::{
    ColorShares, DetailFeatures, DominantColor, Features, ImageId, ImageType, Lab, QuickFeatures, ToneFeatures,
    TypeGuess,
};

impl Store {
    /// The features of an image, if they were measured with the current [`Features::VERSION`].
    pub fn features(&self, image: ImageId) -> Result<Option<Features>> {
        self.find(
            "SELECT aspect_ratio, unique_colors, palette_size, flat_fraction, smooth_fraction, edge_fraction,
                    gradient_fraction, dominant_colors, dhash, phash, type, type_confidence,
                    entropy, brightness, contrast, fill_ratio, shapes, glyphs,
                    edge_density, corner_density, gradient_strength, sharpness, complexity_score, shades, foreground_flat,
                    color_shares
             FROM feature WHERE image = ?1 AND version = ?2",
            params![image.0, Features::VERSION],
            read,
        )
    }

    /// Number of images of present files that were decoded but not measured with the current [`Features::VERSION`].
    pub fn unmeasured(&self, orphans: OrphanState) -> Result<u64> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM image WHERE {of_image})
                  - (SELECT count(*) FROM image WHERE format IS NULL AND {of_image})
                  - (SELECT count(*) FROM feature WHERE version = ?1 AND {of_feature})",
            of_image = orphans.condition("image.id"),
            of_feature = orphans.condition("feature.image")
        );
        self.row(&sql, [Features::VERSION], |row| row.get(0))
    }

    /// Number of images of present files by type, the most frequent type first.
    pub fn count_types(&self, orphans: OrphanState) -> Result<Vec<(ImageType, u64)>> {
        let held = orphans.condition("feature.image");
        let sql = format!(
            "SELECT type, count(*) FROM feature WHERE type IS NOT NULL AND version = ?1 AND {held}
             GROUP BY type ORDER BY 2 DESC, 1"
        );
        let counts = self.rows(&sql, [Features::VERSION], |row| Ok((image_type(row, 0)?, row.get(1)?)))?;
        Ok(counts.into_iter().filter_map(|(kind, count)| Some((kind?, count))).collect())
    }
}

/// The type in a column, unless it is NULL or unknown.
pub(super) fn image_type(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ImageType>> {
    Ok(row.get::<_, Option<String>>(column)?.as_deref().and_then(ImageType::from_name))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Features> {
    let quick = QuickFeatures {
        aspect_ratio: row.get(0)?,
        unique_colors: row.get(1)?,
        palette_size: row.get(2)?,
        shades: row.get(23)?,
        flat_fraction: row.get(3)?,
        smooth_fraction: row.get(4)?,
        edge_fraction: row.get(5)?,
        gradient_fraction: row.get(6)?,
        dominant_colors: colors_from_bytes(row.get_ref(7)?.as_blob()?),
        color_shares: ColorShares::from_bytes(row.get_ref(25)?.as_blob_or_null()?.unwrap_or_default()),
        dhash: row.get::<_, i64>(8)? as u64,
        phash: row.get::<_, i64>(9)? as u64,
    };
    let kind = image_type(row, 10)?.zip(row.get(11)?).map(|(label, confidence)| TypeGuess { label, confidence });
    // The columns of a stage are either all NULL or all set.
    let tones = match row.get(12)? {
        Some(entropy) => Some(ToneFeatures {
            entropy,
            brightness: row.get(13)?,
            contrast: row.get(14)?,
            fill_ratio: row.get(15)?,
            foreground_flat: row.get(24)?,
            shapes: row.get(16)?,
            glyphs: row.get(17)?,
        }),
        None => None,
    };
    let detail = match row.get(18)? {
        Some(edge_density) => Some(DetailFeatures {
            edge_density,
            corner_density: row.get(19)?,
            gradient_strength: row.get(20)?,
            sharpness: row.get(21)?,
            complexity_score: row.get(22)?,
        }),
        None => None,
    };
    Ok(Features { quick, tones, detail, kind })
}

impl Batch<'_> {
    /// Stores the features of an image, replacing older ones.
    pub fn put_features(&self, image: ImageId, features: &Features) -> Result<()> {
        let Features { quick, tones, detail, kind } = features;
        self.run(
            "INSERT OR REPLACE INTO feature (
                 image, version, stage, aspect_ratio, unique_colors, palette_size, flat_fraction, smooth_fraction,
                 edge_fraction, gradient_fraction, dominant_colors, dhash, phash, type, type_confidence, entropy,
                 brightness, contrast, fill_ratio, shapes, glyphs, edge_density, corner_density, gradient_strength, sharpness,
                 complexity_score, shades, foreground_flat, color_shares)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                     ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)",
            params![
                image.0,
                Features::VERSION,
                features.stage().as_str(),
                quick.aspect_ratio,
                quick.unique_colors,
                quick.palette_size,
                quick.flat_fraction,
                quick.smooth_fraction,
                quick.edge_fraction,
                quick.gradient_fraction,
                colors_to_bytes(&quick.dominant_colors),
                quick.dhash as i64,
                quick.phash as i64,
                kind.map(|kind| kind.label.as_str()),
                kind.map(|kind| kind.confidence),
                tones.map(|tones| tones.entropy),
                tones.map(|tones| tones.brightness),
                tones.map(|tones| tones.contrast),
                tones.map(|tones| tones.fill_ratio),
                tones.map(|tones| tones.shapes),
                tones.map(|tones| tones.glyphs),
                detail.map(|detail| detail.edge_density),
                detail.map(|detail| detail.corner_density),
                detail.map(|detail| detail.gradient_strength),
                detail.map(|detail| detail.sharpness),
                detail.map(|detail| detail.complexity_score),
                quick.shades,
                tones.map(|tones| tones.foreground_flat),
                quick.color_shares.to_bytes(),
            ],
        )
    }
}

fn colors_to_bytes(colors: &[DominantColor]) -> Vec<u8> {
    colors.iter().flat_map(|color| color.lab.0.into_iter().chain([color.share])).flat_map(f32::to_le_bytes).collect()
}

pub(super) fn colors_from_bytes(bytes: &[u8]) -> Vec<DominantColor> {
    let (colors, _) = bytes.as_chunks::<16>();
    let color = |bytes: &[u8; 16]| {
        let (numbers, _) = bytes.as_chunks::<4>();
        let [l, a, b, share] = std::array::from_fn(|i| f32::from_le_bytes(numbers[i]));
        DominantColor { lab: Lab([l, a, b]), share }
    };
    colors.iter().map(color).collect()
}
