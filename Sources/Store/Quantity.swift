/// Sizes and times as people write them.
public enum Quantity {
    /// `512m`, `1.5 GiB`, `64`: bytes. Every unit is binary, as in docker and BuildKit.
    public static func bytes(_ text: String) -> UInt64? {
        var rest = text.lowercased()[...]
        guard let number = takeNumber(&rest) else { return nil }
        if rest.first == " " { rest = rest.dropFirst() }
        var scale = 1.0
        for (power, letter) in "kmgtp".enumerated() where rest.first == letter {
            for _ in 0...power { scale *= 1024 }
            rest = rest.dropFirst()
            if rest.first == "i" { rest = rest.dropFirst() }
            break
        }
        if rest.first == "b" { rest = rest.dropFirst() }
        guard rest.isEmpty, number * scale < 0x1p63 else { return nil }
        return UInt64(number * scale)
    }

    /// `90s`, `1h30m`, `48h`, `7d`, `250ms`; a number alone is seconds. At most 100 years.
    public static func duration(_ text: String) -> Duration? {
        var rest = text.lowercased()[...]
        var milliseconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            guard let number = takeNumber(&rest) else { return nil }
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            switch unit {
            case "ms": milliseconds += number
            case "s", "": milliseconds += number * 1000
            case "m": milliseconds += number * 60_000
            case "h": milliseconds += number * 3_600_000
            case "d": milliseconds += number * 86_400_000
            default: return nil
            }
            // Only the whole may go without a unit.
            if unit.isEmpty && !(rest.isEmpty && text.allSatisfy { $0.isNumber || $0 == "." }) { return nil }
        }
        guard milliseconds <= 100 * 366 * 86_400_000.0 else { return nil }
        return .milliseconds(Int64(milliseconds))
    }

    /// Digits, with at most one point between them.
    private static func takeNumber(_ text: inout Substring) -> Double? {
        let digits = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, !parts.contains(where: \.isEmpty), digits.utf8.count < 30 else { return nil }
        text = text.dropFirst(digits.count)
        return Double(digits)
    }
}
