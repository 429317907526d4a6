//! Answers, read up to a bound.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use super::failure::HttpError;

/// Reads the whole body unless it is larger than `limit`. A length the server announces is not believed, only refused.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Bytes, HttpError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(HttpError::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(HttpError::from_reqwest)? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
