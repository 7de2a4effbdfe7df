//! Features of images.

use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::batch::Batch;
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{DetailFeatures, DominantColor, Features, ImageId, QuickFeatures, ToneFeatures};

impl Store {
    /// The features of an image, if they were measured by this version's rules.
    pub fn features(&self, image: ImageId) -> Result<Option<Features>> {
        self.connection
            .prepare_cached(
                "SELECT aspect_ratio, unique_colors, palette_size, flat_fraction, smooth_fraction, edge_fraction,
                        dominant_colors, dhash, phash, entropy, brightness, contrast, fill_ratio,
                        edge_density, corner_density, gradient_strength, sharpness, complexity_score
                 FROM feature WHERE image = ?1 AND version = ?2",
            )
            .and_then(|mut statement| statement.query_row(params![image.0, Features::VERSION], read).optional())
            .at(&self.path)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Features> {
    let real = |column: usize| row.get::<_, Option<f64>>(column).map(|value| value.map(|value| value as f32));
    let number = |column: usize| row.get::<_, f64>(column).map(|value| value as f32);
    let quick = QuickFeatures {
        aspect_ratio: number(0)?,
        unique_colors: row.get(1)?,
        palette_size: row.get(2)?,
        flat_fraction: number(3)?,
        smooth_fraction: number(4)?,
        edge_fraction: number(5)?,
        dominant_colors: colors_from_bytes(row.get_ref(6)?.as_blob()?),
        dhash: row.get::<_, i64>(7)? as u64,
        phash: row.get::<_, i64>(8)? as u64,
    };
    let tones = match (real(9)?, real(10)?, real(11)?, real(12)?) {
        (Some(entropy), Some(brightness), Some(contrast), Some(fill_ratio)) => {
            Some(ToneFeatures { entropy, brightness, contrast, fill_ratio })
        }
        _ => None,
    };
    let detail = match (real(13)?, real(14)?, real(15)?, real(16)?, real(17)?) {
        (
            Some(edge_density),
            Some(corner_density),
            Some(gradient_strength),
            Some(sharpness),
            Some(complexity_score),
        ) => Some(DetailFeatures { edge_density, corner_density, gradient_strength, sharpness, complexity_score }),
        _ => None,
    };
    Ok(Features { quick, tones, detail })
}

impl Batch<'_> {
    /// Stores the features of an image in place of older ones.
    pub fn put_features(&self, image: ImageId, features: &Features) -> Result<()> {
        let Features { quick, tones, detail } = features;
        self.run(
            "INSERT OR REPLACE INTO feature (
                 image, version, stage, aspect_ratio, unique_colors, palette_size, flat_fraction, smooth_fraction,
                 edge_fraction, dominant_colors, dhash, phash, entropy, brightness, contrast, fill_ratio,
                 edge_density, corner_density, gradient_strength, sharpness, complexity_score)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
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
                colors_to_bytes(&quick.dominant_colors),
                quick.dhash as i64,
                quick.phash as i64,
                tones.map(|tones| tones.entropy),
                tones.map(|tones| tones.brightness),
                tones.map(|tones| tones.contrast),
                tones.map(|tones| tones.fill_ratio),
                detail.map(|detail| detail.edge_density),
                detail.map(|detail| detail.corner_density),
                detail.map(|detail| detail.gradient_strength),
                detail.map(|detail| detail.sharpness),
                detail.map(|detail| detail.complexity_score),
            ],
        )?;
        Ok(())
    }
}

fn colors_to_bytes(colors: &[DominantColor]) -> Vec<u8> {
    colors.iter().flat_map(|color| color.lab.into_iter().chain([color.share])).flat_map(f32::to_le_bytes).collect()
}

fn colors_from_bytes(bytes: &[u8]) -> Vec<DominantColor> {
    let (colors, _) = bytes.as_chunks::<16>();
    let color = |bytes: &[u8; 16]| {
        let (numbers, _) = bytes.as_chunks::<4>();
        let [l, a, b, share] = std::array::from_fn(|i| f32::from_le_bytes(numbers[i]));
        DominantColor { lab: [l, a, b], share }
    };
    colors.iter().map(color).collect()
}
