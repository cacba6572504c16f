/// Where each host really is and how to talk to it. A plain value: the caller fills it from flags and files.
public struct RemoteConfiguration: Sendable {
    /// One host, as it is named in references.
    public struct Host: Sendable, Hashable {
        /// Where the registry really is, such as `http://10.0.0.5:5000`; nil where the name itself says it.
        public var url: String?
        /// URLs asked before the host itself, in order. A mirror with certificates of its own needs a `Host` of its own.
        public var mirrors: [String] = []
        /// Plain HTTP or TLS. nil: TLS, but plain HTTP for loopback hosts that have no TLS material configured.
        public var plainHTTP: Bool?
        /// Takes any certificate. For tests and broken appliances only.
        public var insecureTLS = false
        /// PEM file with certificate authorities to trust as well.
        public var caFile: String?
        /// PEM files for TLS client authentication.
        public var clientCertificate: String?
        public var clientKey: String?
        /// A directory with OCI layouts in place of a registry.
        public var layout: String?

        public init() {}

        var hasTLSMaterial: Bool { insecureTLS || caFile != nil || clientCertificate != nil || clientKey != nil }
    }

    public var hosts: [String: Host] = [:]

    /// The longest wait for a connection, TLS included.
    public var connectTimeout = Duration.seconds(5)
    /// The longest time without a byte from a connected host, after which the request is made again.
    public var stallTimeout = Duration.seconds(15)
    /// The longest time without progress over all attempts, after which the error is handed up.
    public var requestDeadline = Duration.seconds(60)
    /// Attempts after the first, counted anew after progress.
    public var retries = 4
    /// The pause before the first retry; doubles with each.
    public var firstPause = Duration.milliseconds(200)
    /// Requests at a time to one host.
    public var concurrency = 8
    /// For how long a host that could not be connected to is not tried again.
    public var downTime = Duration.seconds(10)
    /// For how long a mirror that failed is passed over.
    public var mirrorPause = Duration.seconds(30)
    /// For how long a redirect of a blob is followed without asking again.
    public var redirectLifetime = Duration.seconds(300)

    /// Directories with `HOST[:PORT]/{*.crt,*.cert,*.key}`, as docker and containers-common have them. The first that has a
    /// directory for the host counts.
    public var certificateDirectories = ["/etc/docker/certs.d", "/etc/containers/certs.d"]
    /// The environment that proxies and credentials are looked for in: nothing here reads the process's own.
    public var environment: [String: String] = [:]
    /// The longest a credential helper may take.
    public var helperTimeout = Duration.seconds(30)

    public init() {}
}
