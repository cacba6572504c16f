/// A repository on a host: `registry.example:5000/team/app`. The host is always there.
public struct Repository: Hashable, Sendable, CustomStringConvertible {
    /// Registry host with an optional port, or the name of a local layout.
    public let host: String
    /// Path on the host, lower-case components joined by `/`.
    public let path: String

    /// nil where host or path break the grammar of distribution-spec (name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`).
    public init?(host: String, path: String) {
        let path = host == Reference.dockerHub && !path.contains("/") ? "library/" + path : path
        guard Self.isHost(host), host.utf8.count + path.utf8.count <= 255 else { return nil }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ Self.isComponent(Array($0.utf8)) }) else { return nil }
        self.host = host
        self.path = path
    }

    public var description: String { host + "/" + path }

    /// A host name, IPv4 or bracketed IPv6 address, with an optional port.
    public static func isHost(_ text: String) -> Bool {
        var name = Substring(text)
        if name.hasPrefix("["), let end = name.firstIndex(of: "]") {
            let rest = name[name.index(after: end)...]
            let inner = name[name.index(after: name.startIndex)..<end]
            return !inner.isEmpty && inner.utf8.allSatisfy { isHexDigit($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }
                && (rest.isEmpty || rest.first == ":" && isPort(rest.dropFirst()))
        }
        if let colon = name.lastIndex(of: ":") {
            guard isPort(name[name.index(after: colon)...]) else { return false }
            name = name[..<colon]
        }
        guard !name.isEmpty, name.utf8.count <= 253 else { return false }
        return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last, isAlphanumeric(first), isAlphanumeric(last) else { return false }
            return label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        }
    }

    /// One component of a repository path.
    public static func isComponent(_ bytes: [UInt8]) -> Bool {
        guard let first = bytes.first, let last = bytes.last, isLower(first), isLower(last) else { return false }
        var run: [UInt8] = []
        for byte in bytes {
            if isLower(byte) {
                // Between letters: one dot, one or two underscores, or any number of dashes.
                guard run.isEmpty || run == [UInt8(ascii: ".")] || run == [UInt8(ascii: "_")]
                    || run == [UInt8(ascii: "_"), UInt8(ascii: "_")] || run.allSatisfy({ $0 == UInt8(ascii: "-") }) else { return false }
                run = []
            } else {
                guard [UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte) else { return false }
                run.append(byte)
            }
        }
        return true
    }

    private static func isPort(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) } && UInt16(text) != nil }
    private static func isLower(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLower(byte) || (65...90).contains(byte) }
    private static func isHexDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) || (65...70).contains(byte) }
}

/// Names one image: a repository and a tag or a digest. Its text is also its path below `images/`.
public struct Reference: Hashable, Sendable, CustomStringConvertible {
    public enum Selector: Hashable, Sendable {
        case tag(String)
        case digest(Digest)
    }

    public static let dockerHub = "docker.io"

    public let repository: Repository
    public let selector: Selector

    public init(_ repository: Repository, _ selector: Selector) {
        self.repository = repository
        self.selector = selector
    }

    /// Parses the full form `HOST/REPO:TAG` or `HOST/REPO@sha256:HEX` (also `HOST/REPO:TAG@sha256:HEX`, where the digest counts).
    public init?(_ text: some StringProtocol) {
        guard let slash = text.firstIndex(of: "/") else { return nil }
        let host = String(text[..<slash])
        var rest = text[text.index(after: slash)...]
        var digest: Digest?
        if let at = rest.lastIndex(of: "@") {
            guard let parsed = Digest(String(rest[rest.index(after: at)...])) else { return nil }
            digest = parsed
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        if let tag, !Self.isTag(tag) { return nil }
        guard let repository = Repository(host: host, path: String(rest)) else { return nil }
        if let digest {
            self.init(repository, .digest(digest))
        } else if let tag {
            self.init(repository, .tag(tag))
        } else {
            return nil
        }
    }

    /// Parses what a person types, as docker does: no host means docker.io, no tag means `latest`. The first component is
    /// a host when it has a dot or a colon, is `localhost`, or is one of `knownHosts` (configured layouts).
    public static func parse(_ text: String, knownHosts: Set<String> = []) -> Reference? {
        var text = text
        let first = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let named = first.count == 2 && (first[0].contains(".") || first[0].contains(":") || first[0] == "localhost" || knownHosts.contains(String(first[0])))
        if !named { text = dockerHub + "/" + text }
        let last = text[(text.lastIndex(of: "/") ?? text.startIndex)...]
        if !last.contains(":") && !last.contains("@") { text += ":latest" }
        return Reference(text)
    }

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
    public static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || [46, 95, 45].contains($0) }
    }

    /// The tag or digest as a registry wants it in a URL.
    public var selectorText: String {
        switch selector {
        case .tag(let tag): tag
        case .digest(let digest): digest.description
        }
    }

    public var description: String {
        switch selector {
        case .tag(let tag): "\(repository):\(tag)"
        case .digest(let digest): "\(repository)@\(digest)"
        }
    }
}
