import FoundationEssentials
import OCI

/// The document `index.json`: entries that carry a full reference are ours, everything else is kept as it is.
struct ReferenceIndex {
    /// image-spec annotations.md.
    static let nameAnnotation = "org.opencontainers.image.ref.name"

    private var document: [String: JSONValue]
    private var manifests: [JSONValue]

    /// nil where the bytes are no image index.
    init?(decoding bytes: [UInt8]) {
        guard case .object(let document)? = try? JSONText.decode(JSONValue.self, from: bytes) else { return nil }
        switch document["manifests"] {
        case .array(let manifests): self.manifests = manifests
        // Go writes an empty list as null.
        case .null, nil: manifests = []
        default: return nil
        }
        self.document = document
    }

    /// Entries with a full reference and a descriptor that can be read, in the order of the file.
    var references: [(Reference, Descriptor)] {
        manifests.compactMap { entry in
            guard let name = Self.name(of: entry), let reference = Reference(name), reference.description == name,
                let descriptor = Self.descriptor(entry)
            else { return nil }
            return (reference, descriptor)
        }
    }

    /// Names `descriptor` by `reference`, and nothing else by it. False where that is so already.
    mutating func set(_ reference: Reference, _ descriptor: Descriptor) throws -> Bool {
        var descriptor = descriptor
        descriptor.annotations = (descriptor.annotations ?? [:]).merging([Self.nameAnnotation: reference.description]) { $1 }
        let entry = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(descriptor))
        let places = manifests.indices.filter { Self.name(of: manifests[$0]) == reference.description }
        guard let place = places.first else {
            manifests.append(entry)
            return true
        }
        if places.count == 1 && manifests[place] == entry { return false }
        manifests[place] = entry
        for extra in places.dropFirst().reversed() { manifests.remove(at: extra) }
        return true
    }

    /// False where nothing had that name.
    mutating func remove(_ reference: Reference) -> Bool {
        let count = manifests.count
        manifests.removeAll { Self.name(of: $0) == reference.description }
        return manifests.count != count
    }

    func encoded() throws -> [UInt8] {
        var document = document
        document["manifests"] = .array(manifests)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(JSONValue.object(document)))
    }

    private static func name(of entry: JSONValue) -> String? { entry["annotations"]?[nameAnnotation]?.text }

    private static func descriptor(_ entry: JSONValue) -> Descriptor? {
        guard let bytes = try? JSONEncoder().encode(entry) else { return nil }
        return try? JSONDecoder().decode(Descriptor.self, from: bytes)
    }
}
