//! The address of a server and the credentials, from a URL:
//! `mysql://user:password@host:port/database?ssl-ca=FILE`.
//!
//! | `ssl-mode` | TLS | the server's certificate |
//! |---|---|---|
//! | `DISABLED` | no | |
//! | `PREFERRED` | if the server supports it | is not checked |
//! | `REQUIRED` | yes | is not checked |
//! | `VERIFY_CA` | yes | must be issued by an authority of `ssl-ca`, for any host |
//! | `VERIFY_IDENTITY` | yes | must be issued by an authority of `ssl-ca`, or else a public one, for this host |
//!
//! The default is `VERIFY_IDENTITY` with `ssl-ca`, `REQUIRED` with `ssl-cert`, and otherwise `PREFERRED`.

use std::io;
use std::path::{Path, PathBuf};

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use url::{Host, Url};

use crate::store::error::StoreError;

const PORT: u16 = 3306;
/// The largest packet of the protocol, whatever the server accepts.
const LARGEST_PACKET: usize = 1 << 30;
/// A name that no host has. With `skip_domain_validation`, mysql_async accepts the certificate of another host if the
/// error contains `NotValidForName`. rustls no longer says so, but its error contains the expected name, and only
/// after the chain was verified. If either changes, all certificates are refused.
const ANY_HOST: &str = "NotValidForName.invalid";

/// The contents of a URL.
#[derive(Clone)]
pub(crate) struct Address {
    /// Host, port and database, or socket and database.
    pub(super) place: String,
    pub(super) database: String,
    /// For mysql_async, without TLS.
    pub(super) plain: Opts,
    /// The same over TLS, unless disabled.
    pub(super) secured: Option<Opts>,
    /// Whether to connect without TLS if the server does not support it.
    pub(super) may_be_plain: bool,
    /// For sqlx. `None` with `ssl-ca`: sqlx would also trust the public authorities, and with `VERIFY_CA` a
    /// certificate of theirs for any host.
    pub(super) to_read: Option<MySqlConnectOptions>,
}

/// The value of `ssl-mode`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SslMode {
    Disabled,
    /// If the server supports it.
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl SslMode {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match &*text.to_ascii_lowercase() {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" => Self::VerifyIdentity,
            _ => {
                let known = "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY";
                return Err(format!("unknown ssl-mode `{text}`; expected one of {known}"));
            }
        })
    }

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyIdentity)
    }

    /// The same for sqlx.
    fn of_sqlx(self) -> MySqlSslMode {
        match self {
            Self::Disabled => MySqlSslMode::Disabled,
            Self::Preferred => MySqlSslMode::Preferred,
            Self::Required => MySqlSslMode::Required,
            Self::VerifyCa => MySqlSslMode::VerifyCa,
            Self::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        }
    }
}

impl Address {
    /// Reads a URL and, with `file`, its certificates. Errors do not contain the password.
    pub(crate) fn read(url: &str, file: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Self, StoreError> {
        let wrong = |what: &str| StoreError::Url(format!("the database URL is wrong ({what})"));
        let pem = |name: &'static str, path: PathBuf| {
            let bytes = file(&path).map_err(|error| error.to_string());
            // Binary data is DER.
            let is_other =
                |bytes: &Vec<u8>| str::from_utf8(bytes).is_ok_and(|text| !text.contains("-----BEGIN "));
            let bytes = bytes.and_then(|bytes| match is_other(&bytes) {
                true => Err("it contains no PEM block".to_owned()),
                false => Ok(bytes),
            });
            let path = path.display().to_string();
            bytes.map_err(|reason| StoreError::Certificate { name, path, reason })
        };
        let url = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        // An `@` after the host means that a part of the password is there, which must not be shown.
        if [Some(url.path()), url.query(), url.fragment()]
            .into_iter()
            .flatten()
            .any(|text| text.contains('@'))
        {
            return Err(wrong("encode `/`, `?`, `#` and `@` in the password as %2F, %3F, %23 and %40"));
        }
        let part = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded.map(String::from).map_err(|_| wrong("a part of it is not UTF-8"))
        };
        let (mut mode, mut socket) = (None, None);
        let (mut authority, mut certificate, mut key) = (None, None, None);
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "sslmode" | "ssl-mode" => mode = Some(SslMode::read(&value).map_err(|error| wrong(&error))?),
                "sslca" | "ssl-ca" => authority = Some(PathBuf::from(value)),
                "sslcert" | "ssl-cert" => certificate = Some(PathBuf::from(value)),
                "sslkey" | "ssl-key" => key = Some(PathBuf::from(value)),
                "socket" => socket = Some(value),
                _ => {
                    let known = "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket";
                    return Err(wrong(&format!("unknown parameter `{name}`; expected one of {known}")));
                }
            }
        }
        let mode = mode.unwrap_or(match (&authority, &certificate) {
            (Some(_), _) => SslMode::VerifyIdentity,
            (None, Some(_)) => SslMode::Required,
            (None, None) => SslMode::Preferred,
        });
        // Options that would have no effect are refused.
        match authority {
            Some(_) if !mode.verifies() => {
                return Err(wrong("ssl-ca needs ssl-mode VERIFY_IDENTITY, which it implies, or VERIFY_CA"));
            }
            None if mode == SslMode::VerifyCa => return Err(wrong("ssl-mode VERIFY_CA needs an ssl-ca")),
            _ => {}
        }
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (pem("ssl-cert", certificate)?, pem("ssl-key", key)?);
                Some((certificate, key))
            }
            (None, None) => None,
            _ => return Err(wrong("ssl-cert and ssl-key must be given together")),
        };
        let database = match part(url.path().trim_start_matches('/'))? {
            database if database.is_empty() => {
                return Err(StoreError::Url("the database URL names no database".into()));
            }
            database => database,
        };
        let user = Some(part(url.username())?).filter(|user| !user.is_empty());
        let user = user.unwrap_or_else(|| "root".into());
        let password = url.password().map(part).transpose()?;
        let port = url.port().unwrap_or(PORT);
        let (shown, host) = match url.host() {
            Some(Host::Ipv6(address)) => (format!("[{address}]"), address.to_string()),
            Some(host) => (host.to_string(), host.to_string()),
            None => ("localhost".into(), "localhost".into()),
        };
        let authority = authority.map(|path| pem("ssl-ca", path)).transpose()?;
        let to_read = authority.is_none().then(|| {
            // The session is set up for both clients alike, by our own statement.
            let mut options = MySqlConnectOptions::new()
                .host(&host)
                .port(port)
                .username(&user)
                .database(&database)
                .ssl_mode(mode.of_sqlx())
                .pipes_as_concat(false)
                .no_engine_substitution(false)
                .timezone(None)
                .set_names(false)
                .disable_statement_logging();
            if let Some(password) = &password {
                options = options.password(password);
            }
            if let Some((certificate, key)) = &identity {
                options = options.ssl_client_cert_from_pem(certificate).ssl_client_key_from_pem(key);
            }
            match &socket {
                // A socket is on the same machine and needs no TLS.
                Some(socket) => options.socket(socket).ssl_mode(MySqlSslMode::Disabled),
                None => options,
            }
        });
        let identity = identity.map(|(certificate, key)| ClientIdentity::new(certificate.into(), key.into()));
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass(password)
            .db_name(Some(&database))
            .tcp_nodelay(true)
            .socket(socket.as_ref())
            .prefer_socket(false)
            // Fixed values save a query for those of the server; the store observes its largest packet.
            .max_allowed_packet(Some(LARGEST_PACKET))
            .wait_timeout(Some(0))
            .client_found_rows(true);
        let secured = (mode != SslMode::Disabled && socket.is_none()).then(|| {
            let any_host = (mode == SslMode::VerifyCa).then_some(ANY_HOST);
            let tls = SslOpts::default()
                .with_client_identity(identity)
                // With an authority given, public ones are not trusted.
                .with_disable_built_in_roots(authority.is_some())
                .with_root_certs(authority.into_iter().map(Into::into).collect())
                .with_danger_accept_invalid_certs(!mode.verifies())
                .with_danger_skip_domain_validation(mode != SslMode::VerifyIdentity)
                .with_danger_tls_hostname_override(any_host);
            options.clone().ssl_opts(tls).into()
        });
        Ok(Self {
            place: match socket {
                Some(socket) => format!("{socket}/{database}"),
                None => format!("{shown}:{port}/{database}"),
            },
            database,
            plain: options.into(),
            secured,
            may_be_plain: mode == SslMode::Preferred,
            to_read,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Address {
        Address::read(url, |_| Ok(b"-----BEGIN ".into())).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_url_has_address_and_credentials() {
        let address = read("mysql://o%27neil:p%40ss%2Fword@db.example:3307/tru%63ks");
        assert_eq!((&*address.place, &*address.database), ("db.example:3307/trucks", "trucks"));
        let options = &address.plain;
        assert_eq!((options.user(), options.pass()), (Some("o'neil"), Some("p@ss/word")));
        assert_eq!((options.ip_or_hostname(), options.tcp_port()), ("db.example", 3307));
        assert!(options.tcp_nodelay() && options.client_found_rows() && !options.prefer_socket());
        let shortest = read("mysql://localhost/d");
        assert_eq!((&*shortest.place, shortest.plain.user()), ("localhost:3306/d", Some("root")));
        let address = read("mysql://[::1]/d");
        assert_eq!((&*address.place, address.plain.ip_or_hostname()), ("[::1]:3306/d", "::1"));
        let address = read("mysql://localhost/d?socket=%2Frun%2Fs.sock");
        assert_eq!((&*address.place, address.plain.socket()), ("/run/s.sock/d", Some("/run/s.sock")));
        assert!(address.secured.is_none());
    }

    #[test]
    fn both_clients_get_the_same_options() {
        let to_read = |url: &str| read(url).to_read;
        let options = to_read("mysql://o%27neil:p@db.example:3307/trucks?ssl-mode=REQUIRED").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 3307));
        assert_eq!((options.get_username(), options.get_database()), ("o'neil", Some("trucks")));
        let options = to_read("mysql://localhost/d?socket=%2Frun%2Fs.sock").unwrap();
        assert_eq!(options.get_socket().map(|path| path.as_path()), Some(Path::new("/run/s.sock")));
        assert!(matches!(options.get_ssl_mode(), MySqlSslMode::Disabled));
        let mode = |options: &str| to_read(&format!("mysql://h/d?{options}")).map(|read| read.get_ssl_mode());
        assert!(matches!(mode(""), Some(MySqlSslMode::Preferred)));
        assert!(matches!(mode("ssl-mode=DISABLED"), Some(MySqlSslMode::Disabled)));
        assert!(matches!(mode("ssl-mode=REQUIRED"), Some(MySqlSslMode::Required)));
        assert!(matches!(mode("ssl-cert=c&ssl-key=k"), Some(MySqlSslMode::Required)));
        assert!(matches!(mode("ssl-mode=VERIFY_IDENTITY"), Some(MySqlSslMode::VerifyIdentity)));
        // sqlx would trust public authorities as well.
        for own in ["ssl-ca=c", "ssl-ca=c&ssl-mode=VERIFY_CA", "ssl-ca=c&ssl-cert=c&ssl-key=k"] {
            assert!(mode(own).is_none(), "{own}");
        }
    }

    #[test]
    fn the_mode_decides_how_a_certificate_is_verified() {
        let tls = |options: &str| {
            let address = read(&format!("mysql://h/d?{options}"));
            let asked = address.secured.map(|options| {
                let tls = options.ssl_opts().unwrap();
                let public = !tls.disable_built_in_roots();
                let verified = (!tls.accept_invalid_certs(), !tls.skip_domain_validation());
                (verified, tls.root_certs().len(), public, tls.tls_hostname_override().is_some())
            });
            (asked, address.may_be_plain)
        };
        let (nothing, all) = ((false, false), (true, true));
        assert_eq!(tls(""), (Some((nothing, 0, true, false)), true));
        assert_eq!(tls("ssl-mode=DISABLED"), (None, false));
        assert_eq!(tls("ssl-mode=preferred"), (Some((nothing, 0, true, false)), true));
        assert_eq!(tls("ssl-mode=REQUIRED"), (Some((nothing, 0, true, false)), false));
        assert_eq!(tls("ssl-cert=c&ssl-key=k"), (Some((nothing, 0, true, false)), false));
        assert_eq!(tls("ssl-mode=VERIFY_CA&ssl-ca=c"), (Some(((true, false), 1, false, true)), false));
        assert_eq!(tls("ssl-mode=VERIFY_IDENTITY"), (Some((all, 0, true, false)), false));
        for own in ["ssl-ca=c", "ssl-ca=c&ssl-mode=VERIFY_IDENTITY", "ssl-ca=c&ssl-cert=c&ssl-key=k"] {
            assert_eq!(tls(own), (Some((all, 1, false, false)), false), "{own}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (url, said) in [
            ("mysql://h:99999/d", "the database URL is wrong (invalid port number)"),
            (
                "mysql://h/d?ssl-mode=x",
                "the database URL is wrong (unknown ssl-mode `x`; expected one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY)",
            ),
            (
                "mysql://h/d?ssl-cert=c",
                "the database URL is wrong (ssl-cert and ssl-key must be given together)",
            ),
            (
                "mysql://h/d?ssl-ca=c&ssl-mode=REQUIRED",
                "the database URL is wrong (ssl-ca needs ssl-mode VERIFY_IDENTITY, which it implies, or VERIFY_CA)",
            ),
            (
                "mysql://h/d?ssl-mode=VERIFY_CA",
                "the database URL is wrong (ssl-mode VERIFY_CA needs an ssl-ca)",
            ),
            (
                "mysql://h/d?ssl_ca=c",
                "the database URL is wrong (unknown parameter `ssl_ca`; expected one of ssl-mode, ssl-ca, ssl-cert, ssl-key, socket)",
            ),
            (
                "mysql://u:12/secret@h/d",
                "the database URL is wrong (encode `/`, `?`, `#` and `@` in the password as %2F, %3F, %23 and %40)",
            ),
            ("mysql://h", "the database URL names no database"),
        ] {
            let error = Address::read(url, |_| Ok(b"-----BEGIN ".into())).err();
            assert!(matches!(&error, Some(StoreError::Url(what)) if what == said), "{url}: {error:?}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_named() {
        let read = |bytes: &'static [u8]| {
            let error = Address::read("mysql://u:s3cret@h/d?ssl-ca=/no/ca", |path| match bytes {
                b"" => Err(io::ErrorKind::NotFound.into()),
                _ if path == Path::new("/no/ca") => Ok(bytes.into()),
                _ => unreachable!("it is no file of the URL"),
            });
            error.err().map(|error| error.to_string())
        };
        assert_eq!(read(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(read(b"\xff\xfe"), None);
        for (bytes, reason) in [(&b""[..], "not found"), (b"no certificate", "it contains no PEM block")] {
            let said = read(bytes).unwrap();
            assert!(
                said.starts_with("/no/ca, the ssl-ca of --database, ") && said.contains(reason),
                "{said}"
            );
        }
    }

    fn try_read(url: &str) -> Result<Address, StoreError> {
        Address::read(url, |path| std::fs::read(path))
    }

    #[test]
    fn a_url_must_name_a_database() {
        assert!(matches!(try_read("mysql://u:secret@h"), Err(StoreError::Url(_))));
        assert_eq!(try_read("mariadb://u:secret@h:1/d?ssl-mode=REQUIRED").unwrap().place, "h:1/d");
    }

    #[test]
    fn no_message_shows_the_password() {
        for url in ["mysql://u:secret@h:99999/d", "mysql://u:secret@h/d?ssl-mode=x", "mysql://u:secret@/"] {
            let error = try_read(url).err().map(|error| error.to_string());
            assert!(error.is_none_or(|error| !error.contains("secret")), "{url}");
        }
    }
}
