/// Spellings that BuildKit has from Go: what is a number, what is true, how a value is quoted in a message.
enum GoText {
    /// `strconv.ParseBool`.
    static func bool(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "TRUE", "true", "True": true
        case "0", "f", "F", "FALSE", "false", "False": false
        default: nil
        }
    }

    /// `strconv.ParseUint(text, radix, 32)`: digits alone, no sign.
    static func number(_ text: String, radix: Int) -> UInt32? {
        guard let first = text.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
        return UInt32(text, radix: radix)
    }

    /// `%q`.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 32 || scalar.value == 127:
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// Bytes from text such as `512m`, `1.5 GiB` or `64`: docker/go-units `RAMInBytes`, where every unit is binary. nil
    /// also for what is more than 2^63 - 1.
    static func size(_ text: String) -> UInt64? {
        var rest = Substring(text)
        let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard !parts.contains(where: \.isEmpty), parts.count <= 2, let value = Double(digits) else { return nil }
        rest = rest.dropFirst(digits.count)
        if rest.first == " " { rest = rest.dropFirst() }
        var unit = rest.lowercased()[...]
        var scale = 1.0
        for (power, letter) in "kmgtp".enumerated() where unit.first == letter {
            for _ in 0...power { scale *= 1024 }
            unit = unit.dropFirst()
            break
        }
        if unit.first == "i" { unit = unit.dropFirst() }
        if unit.first == "b" { unit = unit.dropFirst() }
        guard unit.isEmpty, value * scale < 0x1p63 else { return nil }
        return UInt64(value * scale)
    }

    /// `path.Clean`: the shortest path that is lexically the same.
    static func clean(_ path: String) -> String {
        let isAbsolute = path.hasPrefix("/")
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part != ".." {
                parts.append(part)
            } else if let last = parts.last, last != ".." {
                parts.removeLast()
            } else if !isAbsolute {
                parts.append(part)
            }
        }
        let joined = parts.joined(separator: "/")
        return isAbsolute ? "/" + joined : joined.isEmpty ? "." : joined
    }

    /// `path.Base`.
    static func base(_ path: String) -> String {
        if path.isEmpty { return "." }
        return path.split(separator: "/").last.map(String.init) ?? "/"
    }
}

/// BuildKit's `util/suggest`: the known word that is fewer than three edits away, as a suffix of the message.
enum Suggestion {
    static func suffix(for word: String, among known: [String]) -> String {
        var best: String?
        var least = 3
        for candidate in known {
            let distance = edits(Array(word.unicodeScalars), Array(candidate.unicodeScalars))
            if distance == 0 { return "" }
            if distance < least { (best, least) = (candidate, distance) }
        }
        return best.map { " (did you mean \($0)?)" } ?? ""
    }

    /// Levenshtein's distance.
    private static func edits(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
        // A word much longer than any we know needs no table.
        if abs(a.count - b.count) > 2 { return 3 }
        var row = Array(0...b.count)
        for (i, left) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, right) in b.enumerated() {
                let replaced = diagonal + (left == right ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[b.count]
    }
}
