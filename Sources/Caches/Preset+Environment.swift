extension Preset {
    /// A cache of the preset at the place where it is mounted.
    public struct Mount: Sendable, Hashable {
        public let id: String
        /// An absolute path.
        public let target: String
        public let sharing: Sharing
        public let settings: CacheSettings
    }

    /// All caches at their default places.
    /// - Parameter home: an absolute path; HOME of whoever runs the command.
    public func mounts(home: String) -> [Mount] {
        caches.map { Mount(id: $0.id, target: $0.target(home: home), sharing: $0.sharing, settings: $0.settings(of: self)) }
    }

    /// The variables that send the tool to the caches, in the order of the preset, and nothing that is as it should be already.
    /// - Parameters:
    ///   - current: the environment they are added to.
    ///   - target: the place of a cache by its id; nil where it is not mounted, and what would name it is left out.
    ///   - file: the path where `files(…)` of that name will be; nil leaves the variable out.
    public func environment(
        over current: [String: String], target: (_ id: String) -> String?, file: (_ name: String) -> String?
    ) -> [(name: String, value: String)] {
        var assignments: [(name: String, value: String)] = []
        for variable in variables {
            guard var value = expand(variable.value, target) else { continue }
            let before = current[variable.name] ?? ""
            switch variable.rule {
            case .set: break
            case .setIfUnset: if current[variable.name] != nil { continue }
            case .append: if !before.isEmpty { value = before.hasSuffix(value) ? before : before + " " + value }
            }
            if value != current[variable.name] { assignments.append((variable.name, value)) }
        }
        for entry in files {
            guard let path = file(entry.name), path != current[entry.variable] else { continue }
            assignments.append((entry.variable, path))
        }
        return assignments
    }

    /// What the preset's files hold, to be written before the command starts.
    /// - Parameters: as `environment`.
    public func files(over current: [String: String], target: (_ id: String) -> String?) -> [(name: String, content: String)] {
        files.map { file in
            let previous = current[file.variable].flatMap { $0.isEmpty ? nil : $0 }
            let lines = file.lines.compactMap { expand($0, { $0 == "previous" ? previous : target($0) }) }
            return (file.name, lines.map { $0 + "\n" }.joined())
        }
    }

    /// Replaces each `{ID}`. nil where one has no value.
    private func expand(_ template: String, _ value: (String) -> String?) -> String? {
        var text = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}") else { break }
            guard let value = value(String(rest[rest.index(after: open)..<close])) else { return nil }
            text += rest[..<open] + value
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }
}
