//! Kinds told apart by a field, with a place for those nobody knows yet.

/// An enum whose variants are told apart by one text field of a JSON object. What has another kind, or none, becomes
/// `Unknown` with the whole object. A known kind of a wrong shape is an error.
macro_rules! tagged {
    ($(#[$meta:meta])* pub enum $name:ident by $tag:literal {
        $($(#[$doc:meta])* $variant:ident($shape:ty) = $kind:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($shape),)*
            /// A kind nobody here knows: kept, to be skipped visibly.
            Unknown {
                /// Its kind; empty when it names none.
                kind: String,
                /// All of it.
                raw: $crate::sync::bounded::Hidden<$crate::sync::Object>,
            },
        }

        impl $name {
            /// The kinds known here.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The kind as the wire names it.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                    Self::Unknown { kind, .. } => kind,
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let raw = $crate::sync::Object::deserialize(d)?;
                let kind = raw.get($tag).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
                match kind.as_str() {
                    $($kind => <$shape>::deserialize(serde_json::Value::Object(raw))
                        .map(Self::$variant)
                        .map_err(serde::de::Error::custom),)*
                    _ => Ok(Self::Unknown { kind, raw: $crate::sync::bounded::Hidden::new(raw) }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let shape = match self {
                    $(Self::$variant(shape) => serde_json::to_value(shape),)*
                    Self::Unknown { raw, .. } => return raw.serialize(s),
                };
                let mut shape = shape.map_err(serde::ser::Error::custom)?;
                if let Some(object) = shape.as_object_mut() {
                    object.insert($tag.to_owned(), self.kind().into());
                }
                shape.serialize(s)
            }
        }
    };
}

pub(crate) use tagged;
