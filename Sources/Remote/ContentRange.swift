/// A `Content-Range: bytes FIRST-LAST/TOTAL` header (RFC 9110 14.4) of an answer with status 206.
struct ContentRange: Equatable, Sendable {
    /// Positions in the blob, in bytes.
    let range: Range<UInt64>
    /// Size of the whole blob; nil where the server wrote `*`.
    let total: UInt64?

    init?(_ text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
        let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]), first <= last, last < .max else { return nil }
        if parts[1] == "*" {
            total = nil
        } else {
            guard let size = Self.number(parts[1]), size > last else { return nil }
            total = size
        }
        range = first..<(last + 1)
    }

    /// Digits only: `UInt64.init` would take a sign too.
    private static func number(_ text: Substring) -> UInt64? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? UInt64(text) : nil
    }
}
