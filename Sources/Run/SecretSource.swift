import Glibc
import LinuxIO

/// Where a secret comes from: `--secret id=ID[,src=FILE|,env=NAME][,type=file|env]`, BuildKit's syntax and texts.
public struct SecretSource: Sendable, Equatable {
    public var id = ""
    public var file = ""
    public var variable = ""

    /// The most bytes that a secret may have.
    public static let limit = 500 * 1024

    public init(parsing text: String) throws(MountSyntaxError) {
        let fields: [String]
        do throws(CSVRecord.Malformed) {
            fields = try CSVRecord.fields(of: text)
        } catch {
            throw MountSyntaxError("failed to parse csv secret: \(error)")
        }
        var type = ""
        for field in fields {
            guard let equals = field.firstIndex(of: "=") else { throw MountSyntaxError("invalid field '\(field)' must be a key=value pair") }
            let key = field[..<equals].lowercased()
            let value = String(field[field.index(after: equals)...])
            switch key {
            case "type":
                guard value == "file" || value == "env" else { throw MountSyntaxError("unsupported secret type \(GoText.quoted(value))") }
                type = value
            case "id": id = value
            case "source", "src": file = value
            case "env": variable = value
            default: throw MountSyntaxError("unexpected key '\(key)' in '\(field)'")
            }
        }
        if type == "env" && variable.isEmpty { (variable, file) = (file, "") }
        guard !id.isEmpty else { throw MountSyntaxError("secret missing ID") }
    }

    /// The secret's bytes. With neither file nor variable, a variable named like the id wins over a file named like it.
    ///
    /// nil where a variable is named that is not set: to make an empty secret of that, as BuildKit does, hides a mistake.
    public func read(environment: [String: String]) throws(MountSyntaxError) -> [UInt8]? {
        if !variable.isEmpty {
            guard let value = environment[variable] else { return nil }
            return try Self.bounded(Array(value.utf8), id)
        }
        if file.isEmpty, let value = environment[id] { return try Self.bounded(Array(value.utf8), id) }
        let path = file.isEmpty ? id : file
        let bytes: [UInt8]
        do throws(SystemError) {
            // A pipe, such as bash makes of <(command), has no size; so it is read to its end.
            bytes = try OwnedDescriptor.open(path, O_RDONLY).readToEnd(limit: Self.limit + 1)
        } catch {
            throw MountSyntaxError("secret \(id): cannot read \(path): \(error.reason)")
        }
        return try Self.bounded(bytes, id)
    }

    private static func bounded(_ bytes: [UInt8], _ id: String) throws(MountSyntaxError) -> [UInt8] {
        guard bytes.count <= limit else { throw MountSyntaxError("secret \(id) too big. max size 500KB") }
        return bytes
    }
}

/// The secrets and agents that a run was given, and what a mount of it gets.
public struct SecretSources: Sendable {
    private let secrets: [SecretSource]
    private let environment: [String: String]

    public init(_ secrets: [SecretSource], environment: [String: String]) {
        self.secrets = secrets
        self.environment = environment
    }

    /// - Returns: nil for an optional secret that nobody gave.
    public func value(for mount: MountSpec) throws(MountSyntaxError) -> [UInt8]? {
        let id = mount.effectiveID
        // The last one of a name counts.
        if let source = secrets.last(where: { $0.id == id }), let value = try source.read(environment: environment) { return value }
        if mount.required { throw MountSyntaxError("secret \(id): not found") }
        return nil
    }
}
