//! The table of a module's methods: what is listed is what is served.

/// Makes `SERVED`, the names, and `call`, which carries out a request for one of them and gives nothing for any other.
/// Each line: the method, a pattern for its parameters, and what makes the answer (`?` refuses).
macro_rules! routes {
    ($caller:ident, $room:ident; $($method:ident($params:pat) => $answer:expr,)*) => {
        /// Methods served here.
        pub(super) const SERVED: &[&str] =
            &[$(<$method as delight_proto::api::method::Method>::NAME),*];

        /// Carries out a request for one of [`SERVED`].
        pub(super) async fn call(
            $caller: &$crate::api::call::Caller,
            request: &delight_proto::api::envelope::Request,
            $room: &mut $crate::api::outgoing::Room<'_>,
        ) -> Option<$crate::api::call::Answer> {
            // Only some tables have answers that are large.
            let _ = &$room;
            Some(match request.method.as_str() {
                $(<$method as delight_proto::api::method::Method>::NAME => async {
                    let $params = $crate::api::request::params::<$method>(request)?;
                    $answer
                }
                .await,)*
                _ => return None,
            })
        }
    };
}
pub(super) use routes;
