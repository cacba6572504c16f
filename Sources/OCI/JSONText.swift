import FoundationEssentials

/// JSON from outside. Checked to be well formed, and not too deep, before the decoder sees it: FoundationEssentials'
/// `JSONDecoder` (6.3.1) traps on a text that ends in its 513th open bracket, because it looks for the line number of
/// "nested too deep" behind the end. A registry must not be able to end the process.
public enum JSONText {
    /// Objects and arrays within one another. Real documents have fewer than ten.
    public static let depthLimit = 64

    /// Decodes `bytes`.
    /// - Throws: `DecodingError`; never traps.
    public static func decode<Value: Decodable>(_: Value.Type, from bytes: [UInt8]) throws -> Value {
        guard isWellFormed(bytes) else { throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "not JSON")) }
        return try JSONDecoder().decode(Value.self, from: Data(bytes))
    }

    /// Whether `bytes` are UTF-8 and one JSON value by the grammar of RFC 8259, nested at most `depthLimit` deep.
    public static func isWellFormed(_ bytes: [UInt8]) -> Bool {
        guard bytes.withUnsafeBufferPointer({ String(validating: $0, as: UTF8.self) }) != nil else { return false }
        return bytes.withUnsafeBufferPointer { bytes in
            var scanner = Scanner(bytes: bytes)
            return scanner.isDocument()
        }
    }
}

/// Walks through the grammar without recursion: hostile depth costs no stack.
private struct Scanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0
    /// Whether each open container is an object, outermost first.
    var isObject: [Bool] = []

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func isDocument() -> Bool {
        while true {
            skipSpace()
            if let byte = current, byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
                guard isObject.count < JSONText.depthLimit else { return false }
                position += 1
                skipSpace()
                let opensObject = byte == UInt8(ascii: "{")
                if !take(opensObject ? "}" : "]") {
                    isObject.append(opensObject)
                    if opensObject && !key() { return false }
                    continue
                }
            } else if !scalar() {
                return false
            }
            // A value has ended: so may what it is in.
            while true {
                skipSpace()
                guard let inObject = isObject.last else { return position == bytes.count }
                if take(",") {
                    skipSpace()
                    if inObject && !key() { return false }
                    break
                }
                guard take(inObject ? "}" : "]") else { return false }
                isObject.removeLast()
            }
        }
    }

    private mutating func key() -> Bool {
        guard string() else { return false }
        skipSpace()
        return take(":")
    }

    private mutating func scalar() -> Bool {
        switch current {
        case UInt8(ascii: "\"")?: string()
        case UInt8(ascii: "t")?: word("true")
        case UInt8(ascii: "f")?: word("false")
        case UInt8(ascii: "n")?: word("null")
        default: number()
        }
    }

    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let byte = current {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case 0..<0x20: return false
            case UInt8(ascii: "\\"):
                guard let escape = current else { return false }
                position += 1
                if escape == UInt8(ascii: "u") {
                    for _ in 0..<4 {
                        guard let digit = current, Self.isHex(digit) else { return false }
                        position += 1
                    }
                } else if !"\"\\/bfnrt".utf8.contains(escape) {
                    return false
                }
            default: break
            }
        }
        return false
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0") { guard digits() else { return false } }
        if take(".") { guard digits() else { return false } }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return digits()
        }
        return true
    }

    private mutating func digits() -> Bool {
        let start = position
        while let byte = current, (48...57).contains(byte) { position += 1 }
        return position > start
    }

    private mutating func word(_ word: StaticString) -> Bool {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count, (position..<end).allSatisfy({ bytes[$0] == word.utf8Start[$0 - position] }) else { return false }
        position = end
        return true
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard current == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private static func isHex(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte) }
}
