//! Paths as bytes, which is how they are stored and compared.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The bytes of a path: on Unix exactly its bytes, in any encoding; elsewhere UTF-8 with `/` as the separator.
pub fn path_to_bytes(path: &Path) -> Cow<'_, [u8]> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Cow::Borrowed(path.as_os_str().as_bytes())
    }
    #[cfg(not(unix))]
    {
        Cow::Owned(path.to_string_lossy().replace('\\', "/").into_bytes())
    }
}

/// The path for bytes from [`path_to_bytes`].
pub fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// A path as text, with `\xNN` for each byte that is not part of UTF-8 text.
pub fn escape_path(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path_to_bytes(path).utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

/// Declares the two fields that a path has in JSON documents. With serde's `flatten`, also for fields of type
/// [`PathBuf`], they become fields of the object around them.
macro_rules! path_fields {
    ($(#[doc = $doc:literal] $name:ident: $text:ident, $bytes:ident;)+) => { $(
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The path as text, with `\xNN` for each byte that is not part of UTF-8 text.
            pub $text: String,
            /// The bytes of the path; absent if it is UTF-8 text.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub $bytes: Option<Vec<u8>>,
        }

        impl<P: AsRef<Path>> From<P> for $name {
            fn from(path: P) -> Self {
                let path = path.as_ref();
                let bytes = path.to_str().is_none().then(|| path_to_bytes(path).into_owned());
                Self { $text: escape_path(path), $bytes: bytes }
            }
        }

        impl $name {
            /// Writes a path as these fields. For serde's `with`.
            ///
            /// # Errors
            /// The errors of the serializer.
            pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
                Serialize::serialize(&Self::from(path), serializer)
            }

            /// Reads a path from these fields. For serde's `with`.
            ///
            /// # Errors
            /// When the fields are missing or have other types.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
                let fields = <Self as Deserialize>::deserialize(deserializer)?;
                Ok(fields.$bytes.map_or_else(|| fields.$text.into(), |bytes| path_from_bytes(&bytes)))
            }
        }
    )+ };
}

path_fields! {
    /// A path, as `path` and `path_bytes`.
    PathField: path, path_bytes;
    /// The path of a root, as `root` and `root_bytes`.
    RootField: root, root_bytes;
    /// The path of a database, as `database` and `database_bytes`.
    DatabaseField: database, database_bytes;
    /// The path of a written file, as `file` and `file_bytes`.
    FileField: file, file_bytes;
    /// The path of a shared library, as `library` and `library_bytes`.
    LibraryField: library, library_bytes;
    /// The path of a file that is kept, as `kept` and `kept_bytes`.
    KeptField: kept, kept_bytes;
    /// The path of an SVG, as `svg` and `svg_bytes`.
    SvgField: svg, svg_bytes;
}

/// A path as other processes find it too: without links where it exists, and absolute where it does not.
pub fn resolved(path: &Path) -> PathBuf {
    let found = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    found.unwrap_or_else(|_| path.to_owned())
}

/// A path in JSON: a string, or an array of bytes if the path is not UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> From<&'a Path> for Form<'a> {
    fn from(path: &'a Path) -> Self {
        path.to_str().map_or_else(|| Self::Bytes(path_to_bytes(path)), |text| Self::Text(text.into()))
    }
}

impl From<Form<'_>> for PathBuf {
    fn from(form: Form<'_>) -> Self {
        match form {
            Form::Text(text) => text.into_owned().into(),
            Form::Bytes(bytes) => path_from_bytes(&bytes),
        }
    }
}

/// Paths in JSON: a string, or an array of bytes if the path is not UTF-8. For serde's `with`.
pub mod path_text {
    use super::{Deserialize, Deserializer, Form, Path, PathBuf, Serialize, Serializer};

    /// Writes a path.
    ///
    /// # Errors
    /// The errors of the serializer.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        Form::from(path).serialize(serializer)
    }

    /// Reads a path.
    ///
    /// # Errors
    /// When the value is neither a string nor an array of bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Form::deserialize(deserializer).map(Into::into)
    }
}

/// Lists of paths in JSON, each in the form of [`path_text`]. For serde's `with`.
pub mod paths_text {
    use super::{Deserialize, Deserializer, Form, PathBuf, Serializer};

    /// Writes paths.
    ///
    /// # Errors
    /// The errors of the serializer.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| Form::from(path.as_path())))
    }

    /// Reads paths.
    ///
    /// # Errors
    /// When the value is not a list of paths.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Form<'_>>::deserialize(deserializer)?.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Paths {
        #[serde(with = "super::path_text")]
        one: PathBuf,
        #[serde(with = "super::paths_text")]
        many: Vec<PathBuf>,
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Flat {
        #[serde(flatten, with = "super::PathField")]
        path: PathBuf,
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf8_is_escaped_and_given_as_bytes() {
        for (bytes, expected) in [
            (b"a\xFFb".as_slice(), r#"{"path":"a\\xFFb","path_bytes":[97,255,98]}"#),
            (b"a\\xFFb", r#"{"path":"a\\xFFb"}"#),
        ] {
            let flat = Flat { path: super::path_from_bytes(bytes) };
            let json = serde_json::to_string(&flat).expect("it is plain data");
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_str::<Flat>(&json).expect("it was just written"), flat);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf8_goes_through_json_unharmed() {
        let bad = super::path_from_bytes(b"a\xFFb");
        let paths = Paths { one: bad.clone(), many: vec!["a".into(), bad] };
        let json = serde_json::to_string(&paths).expect("it is plain data");
        assert_eq!(json, r#"{"one":[97,255,98],"many":["a",[97,255,98]]}"#);
        assert_eq!(serde_json::from_str::<Paths>(&json).expect("it was just written"), paths);
    }
}
