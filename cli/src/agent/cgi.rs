//! Reads the answer to a webhook's sender that a program prints with `--cgi`. It has the form of
//! CGI (RFC 3875): headers, a blank line, the body.

use arizuko_proto::v1::{Header, HttpResponse};

/// How many bytes of output are kept, at most. By default, control takes much shorter responses.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Parses a response.
///
/// # Errors
/// Says what is wrong with the response's form. Control checks the values.
pub(super) fn parse(printed: &[u8]) -> Result<HttpResponse, String> {
    if printed.len() > MAX_BYTES {
        return Err("the program prints a response of more than 1 MiB".to_owned());
    }
    let mut response = HttpResponse::default();
    let mut rest = printed;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or("the program prints no blank line after the headers")?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            response.body = rest.to_vec().into();
            return Ok(response);
        }
        let wrong = || format!("the program prints {line:?}, which is not a valid header");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "status" => {
                let code = value.split(' ').next().unwrap_or_default();
                response.status = code.parse().map_err(|_| wrong())?;
            }
            "content-type" => value.clone_into(&mut response.content_type),
            // The gateway counts the bytes itself.
            "content-length" => {}
            _ => response.headers.push(Header { name, value: value.to_owned().into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_headers_a_blank_line_and_a_body() {
        let found = parse(b"Content-type: text/xml\r\nStatus: 404 Not Found\r\n\r\n<a/>\n\n");
        let found = found.unwrap();
        assert_eq!((found.status, found.content_type.as_str()), (404, "text/xml"));
        assert_eq!(&found.body[..], b"<a/>\n\n");
        let found = parse(b"Retry-After: 5\n\n").unwrap();
        assert_eq!((found.status, found.headers[0].name.as_str()), (0, "retry-after"));
        assert_eq!(parse(b"\nonly a body").unwrap().body, "only a body");
    }

    #[test]
    fn other_output_is_refused() {
        for printed in
            ["", "Hello", "Hello\n\nthere", "Status: fine\n\n", "Content-Type: text/xml\n"]
        {
            assert!(parse(printed.as_bytes()).is_err(), "{printed:?}");
        }
        assert!(parse(&vec![b'\n'; MAX_BYTES + 1]).is_err());
    }
}
