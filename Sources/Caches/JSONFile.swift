import FoundationEssentials
import Glibc
import LinuxIO
import OCI

/// Small JSON files of ours.
enum JSONFile {
    /// Sorted and indented, for people who look; ends in a line break.
    static func bytes(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        // Text and numbers in a struct: nothing that could not be encoded.
        let data = (try? encoder.encode(value)) ?? Data()
        return [UInt8](data) + [UInt8(ascii: "\n")]
    }

    /// nil where there is no such file, or it holds something else: ours are replaced as a whole, so that means a
    /// foreign hand or a failed disk.
    static func read<Value: Decodable>(_: Value.Type, _ name: String, in directory: Directory) throws(SystemError) -> Value? {
        guard let file = try directory.openIfPresent(name, O_RDONLY | O_NOFOLLOW) else { return nil }
        guard let bytes = try file.readAll(limit: CacheLayout.recordLimit) else { return nil }
        return try? JSONText.decode(Value.self, from: bytes)
    }

    /// Readers see the old content or the new, also after a power cut.
    static func replace(_ name: String, in directory: Directory, with bytes: [UInt8]) throws(SystemError) {
        let temporary = "\(name).\(String(UInt64.random(in: .min ... .max), radix: 36))"
        do throws(SystemError) {
            try directory.open(temporary, O_WRONLY | O_CREAT | O_EXCL).write(bytes)
            try directory.replace(name, by: temporary)
        } catch {
            _ = try? directory.remove(temporary)
            throw error
        }
    }
}

extension Error {
    /// What is wrong with a document, in one line.
    var asDecodingText: String {
        switch self as? DecodingError {
        case .dataCorrupted(let context) where context.codingPath.isEmpty: context.debugDescription
        case .keyNotFound(let key, _): "it has no '\(key.stringValue)'"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            "'\(context.codingPath.map(\.stringValue).joined(separator: "."))': \(context.debugDescription)"
        default: "\(self)"
        }
    }
}
