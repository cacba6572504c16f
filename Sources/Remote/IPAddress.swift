import Glibc

/// An IPv4 or IPv6 address as bytes, for matching networks.
struct IPAddress: Hashable, Sendable {
    /// 4 or 16 bytes in network order.
    let bytes: [UInt8]

    /// Parses dotted decimal or (bracketed or bare) IPv6; nil for names.
    init?(_ text: some StringProtocol) {
        var text = String(text)
        if text.hasPrefix("["), text.hasSuffix("]") { text = String(text.dropFirst().dropLast()) }
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &buffer) == 1 {
            bytes = Array(buffer[..<4])
        } else if inet_pton(AF_INET6, text, &buffer) == 1 {
            bytes = buffer
        } else {
            return nil
        }
    }

    /// Whether the first `bits` bits are those of `network`.
    func isInside(_ network: IPAddress, bits: Int) -> Bool {
        guard bytes.count == network.bytes.count, bits >= 0, bits <= bytes.count * 8 else { return false }
        let whole = bits / 8
        guard bytes[..<whole] == network.bytes[..<whole] else { return false }
        guard bits % 8 != 0 else { return true }
        let mask = ~UInt8(0) << UInt8(8 - bits % 8)
        return bytes[whole] & mask == network.bytes[whole] & mask
    }
}
