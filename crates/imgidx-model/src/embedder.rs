//! Computes embeddings and classes from pictures.

use image::RgbImage;

use super::Model;
use super::device::Device;
use super::onnx::{Output, Port, Runtime, Session};
use super::spec::{Element, Layout, ModelSpec, Pooling};
use crate::error::{Error, Result};
use imgidx_media::{Picture, drawn_picture};
use imgidx_types::{Classification, Embedding, InvalidEmbedding};

/// Minimum softmax score of a class that is kept; lower scores are mostly guesses.
pub const MIN_SCORE: f32 = 0.05;

/// Maximum number of classes that are kept for a picture.
pub const TOP_CLASSES: usize = 5;

/// Minimum cosine between the vectors that an accelerator and the CPU compute for the same picture. Half-precision
/// floats give 0.999 and more.
const MIN_AGREEMENT: f32 = 0.99;

/// The output of a model for one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The vector.
    pub embedding: Embedding,
    /// The best classes, best first: at most [`TOP_CLASSES`], each with a score of at least [`MIN_SCORE`]. Empty if the
    /// model has no logits.
    pub classes: Vec<Classification>,
}

/// A model with an open session, for one worker.
#[derive(Debug)]
pub struct Embedder {
    model: Model,
    session: Session,
    input: String,
    /// The batch size, if the graph accepts only one.
    fixed_batch: Option<usize>,
}

impl Embedder {
    /// Opens a session for a model and checks that the graph matches the spec. On an accelerator it also checks that
    /// the vectors agree with those of the CPU, because an index must not mix vectors that differ.
    ///
    /// # Errors
    /// When the graph is damaged or does not match the spec, or the device is missing or computes wrong results.
    pub fn new(model: &Model, runtime: &Runtime, device: Device, threads: usize) -> Result<Self> {
        let mut embedder = Self::unchecked(model, runtime, device, threads)?;
        if device.is_accelerator() {
            let cosine = embedder.agreement(&mut Self::unchecked(model, runtime, Device::Cpu, 1)?)?;
            if cosine < MIN_AGREEMENT {
                let reason = format!(
                    "its vectors differ from those of the CPU (cosine {cosine:.3}), so the two cannot be compared"
                );
                return Err(Error::BrokenDevice { device: device.to_string(), reason });
            }
        }
        Ok(embedder)
    }

    /// The lowest cosine between this embedder's and another's vectors of the same synthetic pictures.
    fn agreement(&mut self, other: &mut Self) -> Result<f32> {
        let prepare = |seed| Self::prepare(self.model.spec(), &Picture::from_rgb(drawn_picture(seed)));
        let pictures: Vec<RgbImage> = (0..3).map(prepare).collect();
        let mut lowest = 1.0_f32;
        for pair in self.embed(&pictures)?.into_iter().zip(other.embed(&pictures)?) {
            lowest = lowest.min(match pair {
                (Ok(ours), Ok(theirs)) => ours.embedding.cosine(&theirs.embedding),
                // A failure on both devices is the model's fault.
                (Err(_), Err(_)) => 1.0,
                _ => 0.0,
            });
        }
        Ok(lowest)
    }

    fn unchecked(model: &Model, runtime: &Runtime, device: Device, threads: usize) -> Result<Self> {
        let session = Session::open(runtime, &model.spec().name, &model.graph()?, device, threads)?;
        let input = check_ports(model.spec(), &session).map_err(|reason| model.error(reason))?;
        let (input, fixed_batch) = (input.name, usize::try_from(input.shape[0]).ok().filter(|&count| count > 0));
        Ok(Self { model: model.clone(), session, input, fixed_batch })
    }

    /// The model that this embedder runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Scales and crops an upright picture to the size of the model's input.
    pub fn prepare(spec: &ModelSpec, picture: &Picture) -> RgbImage {
        spec.frame().of(picture)
    }

    /// Embeds pictures from [`Embedder::prepare`] and returns the results in the same order.
    ///
    /// An inner error concerns one picture, whose vector is zero or not finite.
    ///
    /// # Errors
    /// When the graph fails, or the shapes of its outputs do not match the spec.
    pub fn embed(&mut self, pictures: &[RgbImage]) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
        let Some(fixed) = self.fixed_batch else { return self.embed_batch(pictures) };
        let mut embedded = Vec::with_capacity(pictures.len());
        for batch in pictures.chunks(fixed) {
            let mut padded = batch.to_vec();
            padded.resize_with(fixed, || batch[batch.len() - 1].clone());
            embedded.extend(self.embed_batch(&padded)?.into_iter().take(batch.len()));
        }
        Ok(embedded)
    }

    fn embed_batch(&mut self, pictures: &[RgbImage]) -> Result<Vec<Result<Embedded, InvalidEmbedding>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let outputs = self.run(pictures)?;
        let vectors = self.vectors(&outputs[0], pictures.len())?;
        let classes = match outputs.get(1) {
            Some(logits) => self.classes(logits, pictures.len())?,
            None => vec![Vec::new(); pictures.len()],
        };
        let joined = vectors
            .into_iter()
            .zip(classes)
            .map(|(vector, classes)| Embedding::normalized(vector).map(|embedding| Embedded { embedding, classes }));
        Ok(joined.collect())
    }

    /// Converts the pixels to the input's layout and element type and runs the graph. Returns the vectors and, if the
    /// spec names them, the logits.
    fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Output>> {
        let spec = &self.model.spec;
        let mut names = vec![spec.outputs.embedding.as_str()];
        names.extend(spec.outputs.logits.as_deref());
        let shape = input_shape(spec, pictures.len() as i64);
        // One multiplication and one addition replace the spec's three steps.
        let factor = spec.input.std.map(|std| spec.input.scale / std);
        let shift = [0, 1, 2].map(|c| -spec.input.mean[c] / spec.input.std[c]);
        let normal = |x: u8, channel: usize| f32::from(x) * factor[channel] + shift[channel];
        match (spec.input.dtype, spec.input.layout) {
            (Element::U8, Layout::Nhwc) => {
                let data = pictures.iter().map(|picture| picture.as_raw().as_slice()).collect::<Vec<_>>().concat();
                self.session.run(&self.input, shape, &data, &names)
            }
            (Element::U8, Layout::Nchw) => {
                let data: Vec<u8> = pictures.iter().flat_map(|picture| planes(picture, |x, _| x)).collect();
                self.session.run(&self.input, shape, &data, &names)
            }
            (Element::F32, Layout::Nhwc) => {
                let pixels = pictures.iter().flat_map(|picture| picture.pixels());
                let data: Vec<f32> = pixels.flat_map(|pixel| [0, 1, 2].map(|c| normal(pixel.0[c], c))).collect();
                self.session.run(&self.input, shape, &data, &names)
            }
            (Element::F32, Layout::Nchw) => {
                let data: Vec<f32> = pictures.iter().flat_map(|picture| planes(picture, normal)).collect();
                self.session.run(&self.input, shape, &data, &names)
            }
        }
    }

    /// Extracts one vector of the spec's dimension for each picture.
    fn vectors(&self, output: &Output, count: usize) -> Result<Vec<Vec<f32>>> {
        let outputs = &self.model.spec().outputs;
        let bad_shape = || {
            let reason = format!("its output `{}` has the shape {:?}", outputs.embedding, output.shape);
            Err(self.model.error(reason))
        };
        if output.shape.first() != Some(&count) {
            return bad_shape();
        }
        let each = output.values.chunks_exact((output.values.len() / count).max(1));
        let vectors: Vec<Vec<f32>> = match (outputs.pooling, &output.shape[1..]) {
            (None, _) => each.map(<[f32]>::to_vec).collect(),
            (Some(Pooling::Cls), &[_, width]) => each.map(|tokens| tokens[..width].to_vec()).collect(),
            (Some(Pooling::Mean), &[tokens, width]) => each.map(|all| mean_of_rows(all, tokens, width)).collect(),
            (Some(Pooling::Mean), &[channels, height, width]) => {
                each.map(|all| means_of_planes(all, channels, height * width)).collect()
            }
            _ => return bad_shape(),
        };
        match vectors.iter().find(|vector| vector.len() != outputs.dimension) {
            Some(vector) => Err(self.model.error(wrong_dimension(vector.len(), outputs.dimension))),
            None => Ok(vectors),
        }
    }

    /// The best classes of each picture, with softmax scores.
    fn classes(&self, logits: &Output, count: usize) -> Result<Vec<Vec<Classification>>> {
        let labels = self.model.labels();
        let width = logits.values.len() / count;
        if !labels.is_empty() && labels.len() != width {
            return Err(self.model.error(format!("it has {width} classes and {} labels", labels.len())));
        }
        let name = |class: usize| labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
        let best = |row: &[f32]| {
            softmax_top(row, TOP_CLASSES)
                .into_iter()
                .filter(|(_, score)| *score >= MIN_SCORE)
                .map(|(class, score)| Classification { label: name(class), score })
                .collect()
        };
        Ok(logits.values.chunks_exact(width.max(1)).map(best).collect())
    }
}

/// Checks that the graph has the input and outputs that the spec names; returns the input.
fn check_ports(spec: &ModelSpec, session: &Session) -> Result<Port, String> {
    let names = |ports: &[Port]| ports.iter().map(|port| format!("`{}`", port.name)).collect::<Vec<_>>().join(", ");
    let find = |ports: &'_ [Port], name: &str, what: &str| {
        let found = ports.iter().find(|port| port.name == name).cloned();
        found.ok_or_else(|| format!("it has no {what} `{name}`; it has {}", names(ports)))
    };
    let input = match (&spec.input.name, session.inputs.as_slice()) {
        (Some(name), ports) => find(ports, name, "input")?,
        (None, [only]) => only.clone(),
        (None, ports) => return Err(format!("its spec must name one of the inputs {}", names(ports))),
    };
    let expected = match spec.input.dtype {
        Element::U8 => "u8",
        Element::F32 => "f32",
    };
    if input.kind != expected {
        return Err(format!("its input takes {}, but its spec says {expected}", input.kind));
    }
    let fits = |(actual, wanted): (&i64, i64)| *actual < 0 || *actual == wanted;
    let wanted = input_shape(spec, -1);
    let shape_fits = input.shape.len() == 4 && input.shape.iter().zip(wanted).skip(1).all(fits);
    if !shape_fits {
        return Err(format!("its input has the shape {:?}, but its spec says {wanted:?}", input.shape));
    }
    let outputs = &spec.outputs;
    let embedding = find(&session.outputs, &outputs.embedding, "output")?;
    embedding.check_floats()?;
    check_dimension(&embedding, outputs.dimension, outputs.pooling)?;
    if let Some(logits) = &outputs.logits {
        find(&session.outputs, logits, "output")?;
    }
    Ok(input)
}

/// Checks the length of the vectors, as far as the graph declares it.
fn check_dimension(embedding: &Port, dimension: usize, pooling: Option<Pooling>) -> Result<(), String> {
    let shape = embedding.shape.as_slice();
    let components = match (pooling, shape) {
        (None, [_, rest @ ..]) if !rest.is_empty() => {
            if rest.iter().any(|&side| side < 0) {
                return Ok(());
            }
            rest.iter().product()
        }
        (Some(_), [_, _, width]) => *width,
        (Some(Pooling::Mean), [_, channels, _, _]) => *channels,
        _ => return Err(format!("its output `{}` has the shape {shape:?}", embedding.name)),
    };
    if components >= 0 && components != dimension as i64 {
        return Err(wrong_dimension(components, dimension));
    }
    Ok(())
}

fn wrong_dimension(found: impl std::fmt::Display, expected: usize) -> String {
    format!("its vectors have {found} components, but its spec says {expected}")
}

fn input_shape(spec: &ModelSpec, count: i64) -> [i64; 4] {
    let (width, height) = (i64::from(spec.input.width), i64::from(spec.input.height));
    match spec.input.layout {
        Layout::Nhwc => [count, height, width, 3],
        Layout::Nchw => [count, 3, height, width],
    }
}

/// The picture's pixels as three planes, one for each channel.
fn planes<T>(picture: &RgbImage, value: impl Fn(u8, usize) -> T) -> impl Iterator<Item = T> {
    (0..3)
        .flat_map(move |channel| picture.pixels().map(move |pixel| (pixel.0[channel], channel)))
        .map(move |(x, c)| value(x, c))
}

fn mean_of_rows(values: &[f32], rows: usize, width: usize) -> Vec<f32> {
    let sum = |column: usize| values.iter().skip(column).step_by(width).sum::<f32>();
    (0..width).map(|column| sum(column) / rows as f32).collect()
}

fn means_of_planes(values: &[f32], planes: usize, size: usize) -> Vec<f32> {
    values.chunks_exact(size.max(1)).take(planes).map(|plane| plane.iter().sum::<f32>() / size as f32).collect()
}

/// The `count` most probable classes, best first.
fn softmax_top(logits: &[f32], count: usize) -> Vec<(usize, f32)> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|&x| (x - highest).exp()).sum();
    let mut classes: Vec<(usize, f32)> = logits.iter().map(|&x| (x - highest).exp() / sum).enumerate().collect();
    classes.retain(|(_, score)| score.is_finite());
    classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    classes.truncate(count);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_logits_and_sums_to_one() {
        let top = softmax_top(&[1000.0, 1001.0, 1000.0], 3);
        assert_eq!(top.iter().map(|class| class.0).collect::<Vec<_>>(), [1, 0, 2]);
        assert!((top.iter().map(|class| class.1).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((top[0].1 - 0.5761).abs() < 1e-4);
        assert_eq!(softmax_top(&[f32::NAN, 1.0], 5), []);
    }

    #[test]
    fn pooling_takes_means_over_tokens_and_over_places() {
        assert_eq!(mean_of_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 9.0], 3, 2), [3.0, 5.0]);
        assert_eq!(means_of_planes(&[1.0, 3.0, 10.0, 20.0], 2, 2), [2.0, 15.0]);
    }

    #[test]
    fn planes_come_channel_by_channel() {
        let picture = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).expect("two pixels");
        assert_eq!(planes(&picture, |x, _| x).collect::<Vec<_>>(), [1, 4, 2, 5, 3, 6]);
    }
}
