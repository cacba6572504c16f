import Caches

/// The grammar of `RUN --mount` (BuildKit frontend/dockerfile/instructions/commands_runmount.go): one CSV record of options that
/// are applied from left to right, so that `size=1m,type=tmpfs` is an error and `type=tmpfs,size=1m` is not.
extension MountSpec {
    private static let keys = [
        "type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid", "gid", "src", "dst", "destination",
        "ro", "rw", "readwrite", "env",
    ]

    /// - Parameter expansion: replaces variables in every value but that of `from`.
    public init(parsing text: String, expansion: VariableExpansion = VariableExpansion()) throws(MountSyntaxError) {
        let fields: [String]
        do throws(CSVRecord.Malformed) {
            fields = try CSVRecord.fields(of: text)
        } catch {
            throw MountSyntaxError("failed to parse csv mounts: \(error)")
        }
        let options = fields.map(Option.init)
        // BuildKit looks for this when it parses, and for everything else when it runs.
        for option in options where option.key == "from" {
            let value = option.value ?? ""
            if let dollar = value.firstIndex(of: "$"), value.index(after: dollar) != value.endIndex {
                throw MountSyntaxError("'from' doesn't support variable expansion, define alias stage instead")
            }
        }
        self.init()
        var isWritabilityGiven = false
        for option in options {
            if ["readonly", "ro", "readwrite", "rw"].contains(option.key) { isWritabilityGiven = true }
            if let value = option.value {
                try apply(option, option.key == "from" ? value : try expansion.expand(value))
            } else {
                try apply(bare: option)
            }
        }
        if !isWritabilityGiven { readOnly = type != .cache && type != .tmpfs }
        try validate()
    }

    private struct Option {
        let field: String
        let key: String
        let value: String?

        init(_ field: String) {
            self.field = field
            let equals = field.firstIndex(of: "=")
            key = field[..<(equals ?? field.endIndex)].lowercased()
            value = equals.map { String(field[field.index(after: $0)...]) }
        }
    }

    private mutating func apply(bare option: Option) throws(MountSyntaxError) {
        switch option.key {
        case "readonly", "ro": readOnly = true
        case "readwrite", "rw": readOnly = false
        case "required":
            try requireOption("required", of: [.secret, .ssh])
            required = true
        default: throw MountSyntaxError("invalid field '\(option.field)' must be a key=value pair")
        }
    }

    private mutating func apply(_ option: Option, _ value: String) throws(MountSyntaxError) {
        let key = option.key
        switch key {
        case "type":
            guard let known = MountType(rawValue: value.lowercased()) else {
                throw Self.unsupported("mount type", value, MountType.allCases.map(\.rawValue))
            }
            type = known
        case "from": from = value
        case "source", "src": source = value
        case "target", "dst", "destination": target = value
        case "readonly", "ro": readOnly = try Self.bool(key, value)
        case "readwrite", "rw": readOnly = try !Self.bool(key, value)
        case "required":
            try requireOption(key, of: [.secret, .ssh])
            required = try Self.bool(key, value)
        case "size":
            try requireOption(key, of: [.tmpfs])
            guard let bytes = GoText.size(value) else { throw MountSyntaxError("invalid value for size: \(value)") }
            size = bytes
        case "id": id = value
        case "sharing":
            guard let known = Sharing(rawValue: value.lowercased()) else {
                throw Self.unsupported("sharing value", value, Sharing.allCases.map(\.rawValue))
            }
            sharing = known
        case "mode": mode = try Self.number(key, value, radix: 8)
        case "uid": uid = try Self.number(key, value, radix: 10)
        case "gid": gid = try Self.number(key, value, radix: 10)
        case "env": env = value
        default: throw MountSyntaxError("unexpected key '\(key)' in '\(option.field)'" + Suggestion.suffix(for: key, among: Self.keys))
        }
    }

    /// Looks at the type that was given so far.
    private func requireOption(_ key: String, of types: [MountType]) throws(MountSyntaxError) {
        guard types.contains(type) else { throw MountSyntaxError("unexpected key '\(key)' for mount type '\(type.rawValue)'") }
    }

    private func validate() throws(MountSyntaxError) {
        if type == .bind || type == .tmpfs {
            for (name, isGiven) in [("mode", mode != nil), ("uid", uid != nil), ("gid", gid != nil)] where isGiven {
                throw MountSyntaxError("\(name) not allowed for \"\(type.rawValue)\" type mounts")
            }
        }
        if type == .secret {
            if !from.isEmpty { throw MountSyntaxError("secret mount should not have a from") }
            if sharing != nil { throw MountSyntaxError("secret mount should not define sharing") }
            if source.isEmpty && target.isEmpty && id.isEmpty { throw MountSyntaxError("invalid secret mount. one of source, target required") }
            if !source.isEmpty && !id.isEmpty { throw MountSyntaxError("both source and id can't be set") }
        }
        if sharing != nil && type != .cache { throw MountSyntaxError("invalid cache sharing set for \(type.rawValue) mount") }
        if type == .ssh && !source.isEmpty { throw MountSyntaxError("ssh does not support source") }
    }

    private static func unsupported(_ what: String, _ value: String, _ known: [String]) -> MountSyntaxError {
        MountSyntaxError("unsupported \(what) \(GoText.quoted(value))" + Suggestion.suffix(for: value, among: known))
    }

    private static func bool(_ key: String, _ value: String) throws(MountSyntaxError) -> Bool {
        guard let value = GoText.bool(value) else { throw MountSyntaxError("invalid value for \(key): \(value)") }
        return value
    }

    private static func number(_ key: String, _ value: String, radix: Int) throws(MountSyntaxError) -> UInt32 {
        guard let number = GoText.number(value, radix: radix) else { throw MountSyntaxError("invalid value \(value) for \(key)") }
        return number
    }
}
