//! From a method's name and parameters to a request, and back.

/// An enum of requests, one variant a method. The first name is the one written; the others are read.
macro_rules! requests {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $variant:ident($shape:ty) = $first:literal $(| $other:literal)*,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($shape),)*
            /// One of the methods machines and sessions share.
            Files($crate::sync::rpc::FileRequest),
        }

        impl $name {
            /// Every name that is read, without the shared ones of [`crate::sync::rpc::FileRequest::METHODS`].
            pub const METHODS: &'static [&'static str] = &[$($first, $($other,)*)*];

            /// The method's name, without the id before it.
            #[must_use]
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $first,)*
                    Self::Files(request) => request.method(),
                }
            }

            /// Reads a request of its method's name and parameters.
            ///
            /// # Errors
            /// [`crate::refusal::Code::UnknownMethod`], or [`crate::refusal::Code::BadParams`].
            pub fn read(
                method: &str,
                params: &$crate::sync::rpc::Params,
            ) -> Result<Self, $crate::refusal::Refusal> {
                match method {
                    $($first $(| $other)* => params.shape($first).map(Self::$variant),)*
                    _ => $crate::sync::rpc::FileRequest::read(method, params).map(Self::Files),
                }
            }

            /// The parameters as they are sent.
            ///
            /// # Errors
            /// Only if a shape here could not be JSON, which none is.
            pub fn params(&self) -> Result<serde_json::Value, $crate::refusal::Refusal> {
                match self {
                    $(Self::$variant(shape) => serde_json::to_value(shape),)*
                    Self::Files(request) => return request.params(),
                }
                .map_err(|error| $crate::sync::read::refuse("parameters of ours", &error))
            }
        }
    };
}

pub(super) use requests;
