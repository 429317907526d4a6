//! Which certificates are trusted: one rule for HTTP and WebSockets.
//!
//! The system's trust store; `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it, as they do for every other program; a CA
//! file of our own configuration is added to either. There is no way to switch verification off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A whole system's trust store is under 1 MiB.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// No trust could be set up.
#[derive(Debug, thiserror::Error)]
pub enum BadTrust {
    /// A certificate file cannot be read.
    #[error("the certificate file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate file is far too large to be one.
    #[error("the certificate file {} is larger than {MAX_CA_FILE} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A certificate file holds no certificate, or a broken one.
    #[error("the certificate file {} holds no usable PEM certificate: {reason}", path.display())]
    NotCertificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nothing is trusted.
    #[error("no certificate authority is known ({reason}); install ca-certificates, or name a CA file")]
    Nothing {
        /// Why.
        reason: String,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// Builds the one TLS configuration of a server; `lookup` reads an environment variable.
///
/// # Errors
/// [`BadTrust`] when a named file cannot be used or nothing would be trusted.
pub(crate) fn configuration(
    ca_file: Option<&Path>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Arc<ClientConfig>, BadTrust> {
    let mut roots = RootCertStore::empty();
    let mut missing = String::new();
    let named = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (file, directory) = (named("SSL_CERT_FILE"), named("SSL_CERT_DIR"));
    if let Some(file) = &file {
        add_file(&mut roots, file)?;
    }
    if file.is_none() || directory.is_some() {
        let found = match &directory {
            Some(directory) => rustls_native_certs::load_certs_from_paths(None, Some(directory)),
            None => rustls_native_certs::load_native_certs(),
        };
        // A system's store often holds a few certificates nobody can read: the others count.
        roots.add_parsable_certificates(found.certs);
        missing = found.errors.first().map_or_else(|| "the store is empty".into(), ToString::to_string);
    }
    if let Some(file) = ca_file {
        add_file(&mut roots, file)?;
    }
    if roots.is_empty() {
        return Err(BadTrust::Nothing { reason: missing });
    }
    Ok(trusting(roots)?)
}

/// The configuration of a server that is reached without TLS: it trusts nobody.
pub(crate) fn unused() -> Result<Arc<ClientConfig>, BadTrust> {
    Ok(trusting(RootCertStore::empty())?)
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), BadTrust> {
    let unreadable = |source| BadTrust::Unreadable { path: path.to_owned(), source };
    let refused = |reason: String| BadTrust::NotCertificates { path: path.to_owned(), reason };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_CA_FILE {
        return Err(BadTrust::TooLarge { path: path.to_owned() });
    }
    let pem = std::fs::read(path).map_err(unreadable)?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.len() == before { Err(refused("none found".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_file(path: &Path) -> impl Fn(&str) -> Option<String> + use<> {
        let path = path.to_str().unwrap().to_owned();
        move |name| (name == "SSL_CERT_FILE").then(|| path.clone())
    }

    #[test]
    fn a_named_file_that_cannot_be_used_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.pem");
        let empty = folder.path().join("empty.pem");
        let broken = folder.path().join("broken.pem");
        std::fs::write(&empty, "no certificate here\n").unwrap();
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        for path in [&absent, &empty, &broken] {
            for said in [
                configuration(None, only_file(path)).unwrap_err().to_string(),
                configuration(Some(path), |_| None).unwrap_err().to_string(),
            ] {
                assert!(said.contains(path.to_str().unwrap()), "{said}");
            }
        }
        assert!(matches!(configuration(Some(&absent), |_| None), Err(BadTrust::Unreadable { .. })));
        assert!(matches!(configuration(Some(&broken), |_| None), Err(BadTrust::NotCertificates { .. })));
    }

    #[test]
    fn an_empty_store_is_said_before_any_connection() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap().to_owned();
        let lookup = move |name: &str| (name == "SSL_CERT_DIR").then(|| directory.clone());
        assert!(matches!(configuration(None, lookup), Err(BadTrust::Nothing { .. })));
    }
}
