/// Variables in a value, as a Dockerfile has them (BuildKit frontend/dockerfile/shell): `$NAME`, `${NAME}`, `${NAME-word}`,
/// `${NAME:-word}`, `+` and `?` likewise, `${NAME#pattern}`, `##`, `%`, `%%`, `${NAME/pattern/text}`, `//`; quotes and the
/// backslash as in a shell. No command is ever run.
public struct VariableExpansion: Sendable {
    private let variables: [String: String]

    public init(_ variables: [String: String] = [:]) { self.variables = variables }

    public func expand(_ text: String) throws(MountSyntaxError) -> String {
        var reader = Reader(text: Array(text.unicodeScalars), variables: variables)
        do throws(MountSyntaxError) {
            return Self.text(try reader.word(until: nil, keepsEscapes: false))
        } catch {
            throw MountSyntaxError("failed to process \(GoText.quoted(text)): \(error)")
        }
    }

    fileprivate static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return String(text)
    }
}

private typealias Scalars = [Unicode.Scalar]

private struct Reader {
    /// A word inside a word inside a word ... is a program trying its luck.
    static let depthLimit = 64

    let text: Scalars
    let variables: [String: String]
    var position = 0
    var depth = 0

    init(text: Scalars, variables: [String: String]) {
        self.text = text
        self.variables = variables
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take() -> Unicode.Scalar? {
        guard position < text.count else { return nil }
        position += 1
        return text[position - 1]
    }

    mutating func word(until stop: Unicode.Scalar?, keepsEscapes: Bool) throws(MountSyntaxError) -> Scalars {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw MountSyntaxError("nested too deep") }
        var result: Scalars = []
        while let scalar = take() {
            if scalar == stop { return result }
            switch scalar {
            case "'": result += try singleQuoted()
            case "\"": result += try doubleQuoted(keepsEscapes: keepsEscapes)
            case "$": result += try variable()
            case "\\":
                if keepsEscapes { result.append(scalar) }
                if let escaped = take() { result.append(escaped) }
            default: result.append(scalar)
            }
        }
        if let stop { throw MountSyntaxError("unexpected end of statement while looking for matching \(stop)") }
        return result
    }

    private mutating func singleQuoted() throws(MountSyntaxError) -> Scalars {
        guard let end = text[position...].firstIndex(of: "'") else {
            position = text.count
            throw MountSyntaxError("unexpected end of statement while looking for matching single-quote")
        }
        defer { position = end + 1 }
        return Array(text[position..<end])
    }

    private mutating func doubleQuoted(keepsEscapes: Bool) throws(MountSyntaxError) -> Scalars {
        var result: Scalars = []
        while let scalar = take() {
            switch scalar {
            case "\"": return result
            case "$": result += try variable()
            case "\\":
                if keepsEscapes { result.append(scalar) }
                // Before anything else a backslash is itself.
                guard let escaped = next else { break }
                if escaped == "\"" || escaped == "$" || escaped == "\\" {
                    position += 1
                    result.append(escaped)
                } else {
                    result.append(scalar)
                }
            default: result.append(scalar)
            }
        }
        throw MountSyntaxError("unexpected end of statement while looking for matching double-quote")
    }

    /// What a `$`, just taken, begins.
    private mutating func variable() throws(MountSyntaxError) -> Scalars {
        guard next == "{" else {
            let name = name()
            return name.isEmpty ? ["$"] : value(name) ?? []
        }
        position += 1
        switch next {
        case nil: throw MountSyntaxError("syntax error: missing '}'")
        case "{", "}", ":": throw MountSyntaxError("syntax error: bad substitution")
        default: break
        }
        let name = name()
        let value = value(name)
        guard var modifier = take() else { throw MountSyntaxError("syntax error: missing '}'") }
        if modifier == "}" { return value ?? [] }
        if modifier == "/" { return try replaced(value ?? []) }
        var spelling = String(modifier)
        var emptyIsUnset = false
        if modifier == ":" {
            emptyIsUnset = true
            modifier = take() ?? "\u{fffd}"
            spelling += String(modifier)
        } else if !["+", "-", "?", "#", "%"].contains(modifier) {
            throw MountSyntaxError("unsupported modifier (\(spelling)) in substitution")
        }
        var word = try part(until: "}", keepsEscapes: modifier == "#" || modifier == "%", missing: "syntax error: missing '}'")
        let isSet = value.map { !(emptyIsUnset && $0.isEmpty) } ?? false
        switch modifier {
        case "-": return isSet ? value ?? [] : word
        case "+": return isSet ? word : []
        case "?":
            if isSet { return value ?? [] }
            let reason = value == nil ? "is not allowed to be unset" : "is not allowed to be empty"
            throw MountSyntaxError("\(VariableExpansion.text(name)): \(word.isEmpty ? reason : VariableExpansion.text(word))")
        case "#", "%":
            let isGreedy = word.first == modifier
            if isGreedy { word.removeFirst() }
            let pattern = try WildcardPattern(word)
            return modifier == "#" ? pattern.withoutPrefix(value ?? [], longest: isGreedy) : pattern.withoutSuffix(value ?? [], longest: isGreedy)
        default: throw MountSyntaxError("unsupported modifier (\(spelling)) in substitution")
        }
    }

    private mutating func replaced(_ value: Scalars) throws(MountSyntaxError) -> Scalars {
        let everywhere = next == "/"
        if everywhere { position += 1 }
        let pattern = try part(until: "/", keepsEscapes: true, missing: "syntax error: missing '/' in ${}")
        let replacement = try part(until: "}", keepsEscapes: true, missing: "syntax error: missing '}'")
        return try WildcardPattern(pattern).replacing(in: value, with: replacement, everywhere: everywhere)
    }

    private mutating func part(until stop: Unicode.Scalar, keepsEscapes: Bool, missing: String) throws(MountSyntaxError) -> Scalars {
        do throws(MountSyntaxError) {
            return try word(until: stop, keepsEscapes: keepsEscapes)
        } catch {
            throw next == nil && depth < Self.depthLimit ? MountSyntaxError(missing) : error
        }
    }

    /// Letters, digits and `_`; or digits alone; or one of the shell's special parameters.
    private mutating func name() -> Scalars {
        let start = position
        if let first = next, "@*#?-$!".unicodeScalars.contains(first) {
            position += 1
        } else if let first = next, first.properties.numericType == .decimal {
            while let scalar = next, scalar.properties.numericType == .decimal { position += 1 }
        } else {
            while let scalar = next, scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType == .decimal { position += 1 }
        }
        return Array(text[start..<position])
    }

    private func value(_ name: Scalars) -> Scalars? { variables[VariableExpansion.text(name)].map { Array($0.unicodeScalars) } }
}
