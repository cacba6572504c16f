/// The ways in which tar headers write numbers. Every function answers nil for what is no such number, and never traps.
enum TarNumber {
    /// A numeric header field: octal digits among spaces and NULs, or base 256 (GNU) when the first bit is set.
    static func field(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        guard let first = bytes.first, first & 0x80 != 0 else { return octal(bytes) }
        // Two's complement, big endian, with bit 6 of the first byte as sign.
        let inversion: UInt8 = first & 0x40 != 0 ? 0xFF : 0
        var value: UInt64 = 0
        for (position, byte) in bytes.enumerated() {
            var digit = byte ^ inversion
            if position == 0 { digit &= 0x7F }
            guard value >> 56 == 0 else { return nil }
            value = value << 8 | UInt64(digit)
        }
        guard let magnitude = Int64(exactly: value) else { return nil }
        return inversion == 0 ? magnitude : ~magnitude
    }

    /// Octal digits with spaces and NULs before and after; nothing at all is 0.
    private static func octal(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var rest = bytes[...]
        while let byte = rest.first, byte == 0 || byte == UInt8(ascii: " ") { rest.removeFirst() }
        while let byte = rest.last, byte == 0 || byte == UInt8(ascii: " ") { rest.removeLast() }
        var value: Int64 = 0
        for byte in rest {
            if byte == 0 { break }
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte), value >> 60 == 0 else { return nil }
            value = value << 3 | Int64(byte & 7)
        }
        return value
    }

    /// Decimal digits with an optional minus sign, as PAX records have them.
    static func decimal(_ bytes: some Collection<UInt8>) -> Int64? {
        var digits = bytes[...]
        let negative = digits.first == UInt8(ascii: "-")
        if negative { digits = digits.dropFirst() }
        guard !digits.isEmpty else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.subtractingReportingOverflow(Int64(byte & 15))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        // Summed up below zero, where the range is larger by one.
        if negative { return value }
        return value == .min ? nil : -value
    }

    /// A PAX time, `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
    static func time(_ bytes: [UInt8]) -> Timestamp? {
        let point = bytes.firstIndex(of: UInt8(ascii: ".")) ?? bytes.endIndex
        guard let seconds = decimal(bytes[..<point]) else { return nil }
        var nanoseconds: UInt32 = 0
        var unit: UInt32 = 100_000_000
        for byte in bytes[point...].dropFirst() {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            nanoseconds += unit * UInt32(byte & 15)
            unit /= 10
        }
        // -1.25 is 1.25 s before the epoch: second -2, nanosecond 750,000,000.
        guard bytes.first == UInt8(ascii: "-"), nanoseconds > 0 else { return Timestamp(seconds: seconds, nanoseconds: nanoseconds) }
        let (whole, overflow) = seconds.subtractingReportingOverflow(1)
        return overflow ? nil : Timestamp(seconds: whole, nanoseconds: 1_000_000_000 - nanoseconds)
    }
}
