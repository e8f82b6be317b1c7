//! A trust store as Java reads it: PKCS#12 (RFC 7292) with certificates alone. They are no secret, so nothing in it is
//! encrypted and it has no password; the JDK reads such a one since 8u301.

/// `data` (RFC 2315 14).
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `certBag` (RFC 7292 4.2).
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
/// `x509Certificate` (RFC 2985).
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// `friendlyName` (RFC 2985).
const NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
/// `trustedKeyUsage`, by which the JDK tells a certificate that is trusted (sun.security.pkcs12.PKCS12KeyStore).
const TRUSTED: &[u8] = &[
    0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01,
];
/// `anyExtendedKeyUsage` (RFC 5280 4.2.1.12).
const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const TEXT: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const TAGGED: u8 = 0xa0;

/// The store with these certificates, DER.
#[must_use]
pub fn java_store<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let bags: Vec<u8> = certificates
        .enumerate()
        .flat_map(|(number, der)| bag(number, der))
        .collect();
    let safes = der(SEQUENCE, &[&data(&der(SEQUENCE, &[&bags]))]);
    der(SEQUENCE, &[&der(INTEGER, &[&[3]]), &data(&safes)])
}

fn data(content: &[u8]) -> Vec<u8> {
    let content = der(TAGGED, &[&der(OCTETS, &[content])]);
    der(SEQUENCE, &[&der(IDENTIFIER, &[DATA]), &content])
}

fn bag(number: usize, certificate: &[u8]) -> Vec<u8> {
    let certificate = der(TAGGED, &[&der(OCTETS, &[certificate])]);
    let value = der(
        TAGGED,
        &[&der(SEQUENCE, &[&der(IDENTIFIER, &[X509]), &certificate])],
    );
    let name: Vec<u8> = number
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let attribute =
        |kind: &[u8], value: &[u8]| der(SEQUENCE, &[&der(IDENTIFIER, &[kind]), &der(SET, &[value])]);
    let attributes = [
        attribute(NAME, &der(TEXT, &[&name])),
        attribute(TRUSTED, &der(IDENTIFIER, &[ANY])),
    ];
    let [name, trusted] = &attributes;
    der(
        SEQUENCE,
        &[
            &der(IDENTIFIER, &[CERTIFICATE_BAG]),
            &value,
            &der(SET, &[name, trusted]),
        ],
    )
}

/// A value with its tag and length (X.690 8.1).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => bytes.push(short),
        Ok(_) | Err(_) => {
            let all = length.to_be_bytes();
            let digits: Vec<u8> = all.into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            bytes.extend(digits);
        }
    }
    bytes.extend(parts.iter().flat_map(|part| part.iter()));
    bytes
}
