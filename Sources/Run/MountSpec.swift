import Caches

/// One `RUN --mount` as it was written: options by name, nothing resolved. Optional where BuildKit tells "not given" from
/// a value.
public struct MountSpec: Sendable, Equatable {
    public var type = MountType.bind
    /// An image, a directory or a named context; empty where not given.
    public var from = ""
    public var source = ""
    public var target = ""
    public var readOnly = false
    public var id = ""
    public var sharing: Sharing?
    public var required = false
    /// Bytes; nil lets the kernel choose.
    public var size: UInt64?
    public var mode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    /// The variable that carries a secret.
    public var env: String?

    public init() {}
}

extension MountSpec {
    /// The place of the mount: `target` joined to the working directory, as BuildKit does with WORKDIR.
    ///
    /// - Parameter index: the position among the ssh mounts of this run, counted from 0.
    /// - Throws: for `/`, with BuildKit's text.
    public func place(in workingDirectory: String, index: Int = 0) throws(MountSyntaxError) -> String {
        let given = target.isEmpty ? defaultTarget(index: index) : target
        let clean = GoText.clean(given)
        let place = clean.hasPrefix("/") ? clean : GoText.clean("/" + workingDirectory + "/" + clean)
        guard place != "/" else { throw MountSyntaxError("invalid mount target \(GoText.quoted("/"))") }
        return place
    }

    private func defaultTarget(index: Int) -> String {
        switch type {
        case .secret: "/run/secrets/" + GoText.base(effectiveID)
        case .ssh: "/run/buildkit/ssh_agent.\(index)"
        case .bind, .cache, .tmpfs: ""
        }
    }

    /// What the mount is known by. A cache without id is its target, cleaned but not joined to the working directory; a secret is
    /// its source, or else named like its target; an ssh mount is `default`.
    public var effectiveID: String {
        switch type {
        case .secret: source.isEmpty ? (id.isEmpty ? GoText.base(target) : id) : source
        case .ssh: id.isEmpty ? "default" : id
        case .cache: id.isEmpty ? GoText.clean(target) : id
        case .bind, .tmpfs: id
        }
    }

    /// Whether a secret appears as a file: always, unless it is wanted as a variable alone.
    public var hasFile: Bool { type != .secret || env == nil || !target.isEmpty }
}
