package spec

// Document reads a text that is no experiment and no target, such as parameters given on the command
// line, as strictly as a file. name stands for the file in errors.
func Document(name string, text []byte) (Node, error) {
	n, err := parse(name, text)
	if err == nil && n.Absent() {
		err = Errors{{File: name, Msg: "is empty"}}
	}
	return n, err
}
