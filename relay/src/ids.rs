//! Names the relay gives: rows, updates, challenges. They are random: nobody guesses another account's id.

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The operating system gave no randomness; nothing that needs a secret or a name can go on.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub(crate) struct NoRandomness;

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

fn random_text(length: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 252 = 7 * 36: bytes above it are skipped, so every letter is equally likely.
        for byte in random::<32>()?.into_iter().filter(|byte| *byte < 252) {
            if text.len() < length {
                text.push(char::from(ALPHABET[usize::from(byte % 36)]));
            }
        }
    }
    Ok(text)
}

/// A row's id: `c`, eight letters of time, sixteen random letters (82 bits). Ids of later rows sort later, which the
/// cursor of `/v2/sessions` relies on; clients treat the whole as opaque.
pub(crate) fn row(now_ms: i64) -> Result<String, NoRandomness> {
    let mut time = [b'0'; 8];
    let mut rest = now_ms.unsigned_abs();
    for place in time.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(rest % 36).unwrap_or(0)];
        rest /= 36;
    }
    let mut id = String::with_capacity(25);
    id.push('c');
    id.extend(time.map(char::from));
    id.push_str(&random_text(16)?);
    Ok(id)
}

/// The id of one update: twelve letters, only ever compared for equality.
pub(crate) fn update() -> Result<String, NoRandomness> {
    random_text(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_ids_have_the_form_clients_know_and_sort_by_time() {
        let early = row(1_795_247_740_044).unwrap();
        let late = row(1_795_247_740_045).unwrap();
        assert_eq!(early.len(), 25);
        assert!(early.starts_with("cmwq4"), "{early}");
        assert!(early.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert!(early < late);
        assert_ne!(row(7).unwrap(), row(7).unwrap());
    }
}
