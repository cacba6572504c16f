import Caches

/// The mounts of a run after presets, variables and defaults: what is asked for, not yet where it comes from.
struct RunMounts: Sendable {
    struct CacheMount: Sendable {
        var spec: MountSpec
        var id: String
        var name: CacheName
        var place: String
        /// The preset's entry that the id belongs to.
        var preset: (preset: Preset, cache: Preset.Cache)?
    }

    var caches: [CacheMount] = []
    /// bind, tmpfs, secret and ssh, with their places; nil for a secret that is no file.
    var others: [(spec: MountSpec, place: String?)] = []
    /// Presets whose variables and files the command gets.
    var presets: [Preset] = []

    /// - Parameters:
    ///   - workingDirectory: of the command, absolute.
    ///   - home: HOME of the command, absolute.
    init(_ request: RunRequest, variables: [String: String], workingDirectory: String, home: String) throws {
        let expansion = VariableExpansion(variables)
        var agents = 0
        for text in request.mounts {
            let spec = try MountSpec(parsing: text, expansion: expansion)
            if spec.type == .cache {
                try add(spec, request, workingDirectory, home)
            } else {
                let place = spec.hasFile ? try spec.place(in: workingDirectory, index: agents) : nil
                if spec.type == .ssh { agents += 1 }
                others.append((spec, place))
            }
        }
        for name in request.presets {
            guard let preset = Preset.named(name) else {
                let known = Preset.all.map(\.name)
                throw RunError.invalid("there is no preset '\(name)'\(Suggestion.suffix(for: name, among: known)); known are \(known.joined(separator: ", "))")
            }
            try add(preset, MountSpec(), request, workingDirectory, home)
        }
    }

    private mutating func add(_ spec: MountSpec, _ request: RunRequest, _ workingDirectory: String, _ home: String) throws {
        // An id that is a tool's name, and no place: the tool's places.
        if spec.target.isEmpty, let preset = Preset.named(spec.id) { return try add(preset, spec, request, workingDirectory, home) }
        let id = spec.effectiveID
        let owner = id.hasPrefix("/") ? nil : Preset.owning(cache: id)
        if let preset = owner?.preset, !presets.contains(where: { $0.name == preset.name }) { presets.append(preset) }
        caches.append(CacheMount(spec: spec, id: id, name: try Self.name(id, request), place: try spec.place(in: workingDirectory), preset: owner))
    }

    private mutating func add(_ preset: Preset, _ spec: MountSpec, _ request: RunRequest, _ workingDirectory: String, _ home: String) throws {
        if !presets.contains(where: { $0.name == preset.name }) { presets.append(preset) }
        for (mount, cache) in zip(preset.mounts(home: home), preset.caches) {
            // Whoever mounted it elsewhere meant that.
            if caches.contains(where: { $0.id == mount.id }) { continue }
            var spec = spec
            spec.type = .cache
            spec.id = mount.id
            spec.target = mount.target
            caches.append(CacheMount(spec: spec, id: mount.id, name: try Self.name(mount.id, request), place: try spec.place(in: workingDirectory), preset: (preset, cache)))
        }
    }

    private static func name(_ id: String, _ request: RunRequest) throws(RunError) -> CacheName {
        guard let name = CacheName(namespace: request.namespace, id: id) else { throw .invalid(CacheError.badName(id).description) }
        return name
    }

    /// One request for each cache mount.
    func leaseRequests(fresh: [String]) -> [LeaseRequest] {
        caches.map { mount in
            LeaseRequest(mount.name, mount.spec.sharing, readOnly: mount.spec.readOnly, fresh: fresh.contains(mount.id) || fresh.contains(mount.name.text))
        }
    }

    /// What a cache is made with if it is not there.
    /// - Parameter privileged: whether it may belong to somebody else.
    func settings(of mount: CacheMount, privileged: Bool) -> CacheSettings {
        var settings = mount.preset.map { $0.cache.settings(of: $0.preset) } ?? CacheSettings()
        if privileged, mount.spec.uid != nil || mount.spec.gid != nil {
            settings.owner = CacheOwner(uid: mount.spec.uid ?? 0, gid: mount.spec.gid ?? 0)
        }
        if let mode = mount.spec.mode { settings.mode = mode & 0o7777 }
        return settings
    }
}
