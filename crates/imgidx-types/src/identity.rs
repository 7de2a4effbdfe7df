//! Digests and row numbers. Each kind has its own type, so that they cannot be confused.

use std::fmt;
use std::str::FromStr;

/// The error of parsing a digest from a text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a BLAKE3 digest of 64 hexadecimal digits")]
pub struct ParseDigestError(String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The 32 bytes of the digest.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let hash = blake3::Hash::from_hex(text).map_err(|_| ParseDigestError(text.to_owned()))?;
                Ok(hash.into())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

digest! {
    /// The BLAKE3 digest of a file's bytes. It identifies a picture, regardless of its path.
    ContentHash
}

impl ContentHash {
    /// Hashes the bytes of a picture file.
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }
}

/// Hashes a file that is read in pieces, with the same result as [`ContentHash::of`].
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds the next piece of the file.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    pub fn finish(&self) -> ContentHash {
        self.0.finalize().into()
    }
}

digest! {
    /// The BLAKE3 digest of a model's graph and of everything in its spec that affects its vectors.
    ///
    /// A different graph, or the same graph with different preprocessing, is a different model. Vectors of different
    /// models are never compared.
    ModelId
}

macro_rules! row {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);
    };
}

row! {
    /// The row of a distinct content, regardless of how many files hold it.
    ImageId
}
row! {
    /// The row of a file, present or missing.
    FileId
}
row! {
    /// The row of an indexed root directory.
    RootId
}
row! {
    /// The row of a vector.
    ///
    /// Row numbers increase over time and are never reused, and the vector of a row never changes. So a row number also
    /// serves as the `change_seq` that says which vectors a derived file covers.
    VectorId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let hash = ContentHash::of(b"picture");
        assert_eq!(hash.to_string().parse::<ContentHash>(), Ok(hash));
        assert_eq!(hash.to_string().len(), 64);
        assert!("picture".parse::<ContentHash>().is_err());
    }

    #[test]
    fn a_file_that_is_hashed_in_pieces_has_the_digest_of_the_whole() {
        let mut hasher = ContentHasher::default();
        ["pic", "", "ture"].iter().for_each(|piece| hasher.update(piece.as_bytes()));
        assert_eq!(hasher.finish(), ContentHash::of(b"picture"));
    }
}
