/// Where an ssh mount's agent comes from: `--ssh ID[=SOCKET|KEY[,KEY...]]`. Without a path it is the agent of SSH_AUTH_SOCK.
public struct SSHSource: Sendable, Equatable {
    public var id: String
    public var paths: [String]

    public init(parsing text: String) throws(MountSyntaxError) {
        let equals = text.firstIndex(of: "=")
        id = String(text[..<(equals ?? text.endIndex)])
        if id.isEmpty { id = "default" }
        paths = equals.map { text[text.index(after: $0)...].split(separator: ",").map(String.init) } ?? []
    }

    /// All of `--ssh`, of which no two may have one id.
    public static func parse(_ texts: [String]) throws(MountSyntaxError) -> [SSHSource] {
        var sources: [SSHSource] = []
        for text in texts {
            let source = try SSHSource(parsing: text)
            guard !sources.contains(where: { $0.id == source.id }) else { throw MountSyntaxError("invalid duplicate ID \(source.id)") }
            sources.append(source)
        }
        return sources
    }

    /// The source of a mount; nil for an optional one that nobody gave.
    public static func find(for mount: MountSpec, in sources: [SSHSource]) throws(MountSyntaxError) -> SSHSource? {
        let id = mount.effectiveID
        if let source = sources.first(where: { $0.id == id }) { return source }
        guard mount.required else { return nil }
        throw MountSyntaxError(sources.isEmpty ? "no SSH key \(GoText.quoted(id)) forwarded from the client" : "unset ssh forward key \(id)")
    }
}
