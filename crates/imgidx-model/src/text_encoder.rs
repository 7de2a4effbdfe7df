//! What turns a text into a vector.

/// Turns texts into vectors of unit length, so that texts and labels, or texts and pictures, can be compared by cosine.
pub trait TextEncoder: Send + Sync {
    /// Length of the vectors.
    fn dimensions(&self) -> usize;

    /// The vector of a text, with unit length; `None` if the encoder knows no word of it.
    fn encode(&self, text: &str) -> Option<Vec<f32>>;
}
