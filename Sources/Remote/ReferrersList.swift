import FoundationEssentials
import OCI

/// The manifests that refer to one: an image index, from the referrers API or under the tag that stands for it. What
/// others wrote into it stays as it is.
struct ReferrersList: Sendable {
    /// Entries read of one list at most.
    static let limit = 4096

    private var document: [String: JSONValue]
    private var entries: [JSONValue]

    init() {
        document = ["schemaVersion": .integer(2), "mediaType": .string(MediaType.index)]
        entries = []
    }

    /// nil where the bytes are no image index.
    init?(decoding bytes: [UInt8]) {
        guard case .object(let document)? = try? JSONText.decode(JSONValue.self, from: bytes) else { return nil }
        if let type = document["mediaType"], type.text.map({ !MediaType.isIndex($0) }) ?? true { return nil }
        switch document["manifests"] {
        case .array(let entries)?: self.entries = entries
        // Go writes an empty list as null.
        case .null?: entries = []
        default: return nil
        }
        self.document = document
    }

    /// Entries that can be read.
    var descriptors: [Descriptor] { entries.prefix(Self.limit).compactMap(Self.descriptor) }

    /// False where it is there already.
    mutating func add(_ descriptor: Descriptor) -> Bool {
        guard !entries.contains(where: { Self.digest($0) == descriptor.digest }), let entry = Self.value(descriptor) else { return false }
        entries.append(entry)
        return true
    }

    /// False where it is not there.
    mutating func remove(_ digest: Digest) -> Bool {
        let count = entries.count
        entries.removeAll { Self.digest($0) == digest }
        return entries.count != count
    }

    var encoded: [UInt8]? {
        var document = document
        document["manifests"] = .array(entries)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(JSONValue.object(document))).map { Array($0) }
    }

    /// The tag that stands for the API (distribution-spec, Referrers Tag Schema).
    static func tag(of subject: Digest) -> String { "sha256-\(subject.hex)" }

    private static func digest(_ entry: JSONValue) -> Digest? { entry["digest"]?.text.flatMap { Digest($0) } }

    private static func descriptor(_ entry: JSONValue) -> Descriptor? {
        guard let bytes = try? JSONEncoder().encode(entry) else { return nil }
        return try? JSONDecoder().decode(Descriptor.self, from: bytes)
    }

    private static func value(_ descriptor: Descriptor) -> JSONValue? {
        guard let bytes = try? JSONEncoder().encode(descriptor) else { return nil }
        return try? JSONDecoder().decode(JSONValue.self, from: bytes)
    }
}
