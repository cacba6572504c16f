/// A shell pattern without brackets: `*` any characters, `?` one, a backslash before `*`, `?`, `\`, `/` or `}` takes them literally.
struct WildcardPattern {
    private enum Part: Equatable {
        case literal(Unicode.Scalar)
        case one
        case any
    }

    private var parts: [Part] = []

    init(_ text: [Unicode.Scalar]) throws(MountSyntaxError) {
        var scalars = text[...]
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "*": if parts.last != .any { parts.append(.any) }
            case "?": parts.append(.one)
            case "\\":
                guard let escaped = scalars.popFirst(), ["*", "?", "\\", "/", "}"].contains(escaped) else {
                    var whole = String.UnicodeScalarView()
                    whole.append(contentsOf: text)
                    throw MountSyntaxError("invalid pattern (\(String(whole))) in substitution: invalid escape")
                }
                parts.append(.literal(escaped))
            default: parts.append(.literal(scalar))
            }
        }
    }

    /// For a match that begins at `start`: every place where it can end, in order.
    private func ends(in text: [Unicode.Scalar], from start: Int) -> [Int] {
        var places: Set<Int> = [start]
        for part in parts {
            var following: Set<Int> = []
            switch part {
            case .literal(let scalar): for place in places where place < text.count && text[place] == scalar { following.insert(place + 1) }
            case .one: for place in places where place < text.count && text[place] != "\n" { following.insert(place + 1) }
            case .any:
                // A star from the first place reaches what a star from any later one does, up to the end of the line.
                var reached = -1
                for place in places.sorted() where place > reached {
                    var end = place
                    following.insert(end)
                    while end < text.count && text[end] != "\n" {
                        end += 1
                        following.insert(end)
                    }
                    reached = end
                }
            }
            if following.isEmpty { return [] }
            places = following
        }
        return places.sorted()
    }

    func withoutPrefix(_ text: [Unicode.Scalar], longest: Bool) -> [Unicode.Scalar] {
        let ends = ends(in: text, from: 0)
        return (longest ? ends.last : ends.first).map { Array(text[$0...]) } ?? text
    }

    func withoutSuffix(_ text: [Unicode.Scalar], longest: Bool) -> [Unicode.Scalar] {
        let starts = (0...text.count).filter { ends(in: text, from: $0).last == text.count }
        return (longest ? starts.first : starts.last).map { Array(text[..<$0]) } ?? text
    }

    /// Replaces the leftmost match, or all that do not overlap; each as long as possible.
    func replacing(in text: [Unicode.Scalar], with replacement: [Unicode.Scalar], everywhere: Bool) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        var position = 0
        var lastEnd = -1
        while position <= text.count {
            // As Go: an empty match right behind a match is none.
            if let end = ends(in: text, from: position).last, !(end == position && position == lastEnd) {
                result += replacement
                guard everywhere else { return result + text[end...] }
                lastEnd = end
                if end > position {
                    position = end
                    continue
                }
            }
            if position < text.count { result.append(text[position]) }
            position += 1
        }
        return result
    }
}
